"""Which store the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.config import ApiServerConfig, parse
from kplane.apiserver.storage.opening import open_store


async def kept(config: ApiServerConfig) -> bool:
    """Whether a second store finds what the first was given."""
    for _ in range(2):
        store = open_store(config, SystemClock())
        await store.open()
        found = await store.get("/registry/a")
        if found is None:
            await store.put("/registry/a", b"{}", expect=0)
        await store.close()
    return found is not None


async def test_a_folder_is_made_and_keeps_what_is_written(tmp_path: Path) -> None:
    assert await kept(parse([f"--storage-dir={tmp_path / 'deep' / 'store'}"]))

    assert (tmp_path / "deep" / "store").stat().st_mode & 0o777 == 0o700


async def test_memory_ends_with_its_store_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert not await kept(parse(["--storage-dir=:memory:"]))

    assert list(tmp_path.iterdir()) == []
