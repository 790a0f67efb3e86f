"""What is derived from a watch cache follows it, also when it has not looked for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.auth.feed import Feed
from kplane.apiserver.storage import cache
from kplane.apiserver.storage.hub import Hub
from kplane.apiserver.storage.sqlite import SQLiteStore

PREFIX = "/registry/clusterroles/"


class Names:
    """The names in a cache, kept by a feed."""

    def __init__(self, store: SQLiteStore, hub: Hub) -> None:
        self.store = store
        self.hub = hub
        self.found: set[str] = set()
        self.feed = Feed(
            lambda: hub.cache(PREFIX),
            lambda item: self.found.add(item.name),
            lambda item: self.found.discard(item.name),
            self.found.clear,
        )

    async def put(self, name: str) -> None:
        obj = {"kind": "ClusterRole", "apiVersion": "x/v1", "metadata": {"name": name, "uid": name}}
        await self.hub.wait(await self.store.put(PREFIX + name, msgspec.json.encode(obj), expect=0))

    async def delete(self, name: str) -> None:
        await self.hub.wait(await self.store.delete(PREFIX + name, expect=None))


@pytest.fixture
async def names(tmp_path: Path) -> AsyncIterator[Names]:
    store = SQLiteStore(tmp_path / "store.db", SystemClock())
    await store.open()
    hub = Hub(store, SystemClock())
    following = asyncio.create_task(hub.run())
    yield Names(store, hub)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await store.close()


async def test_changes_are_taken_in_when_somebody_looks(names: Names) -> None:
    await names.put("a")
    assert await names.feed.refresh()
    assert names.found == {"a"}
    assert not await names.feed.refresh()

    await names.put("b")
    await names.delete("a")

    assert names.found == {"a"}
    assert await names.feed.refresh()
    assert names.found == {"b"}


async def test_who_has_not_looked_for_long_begins_anew(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WATCHER_BACKLOG", 3)
    await names.put("gone")
    await names.feed.refresh()
    await names.delete("gone")
    for index in range(5):
        await names.put(f"n{index}")

    await names.feed.refresh()

    assert names.found == {f"n{index}" for index in range(5)}
    await names.put("last")
    await names.feed.refresh()
    assert "last" in names.found


async def test_those_who_look_at_once_begin_once(names: Names) -> None:
    await names.put("a")

    began = await asyncio.gather(*(names.feed.refresh() for _ in range(3)))

    assert sorted(began) == [False, False, True]
    assert names.found == {"a"}
