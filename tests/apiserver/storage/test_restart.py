"""What survives the end of a process: a store's contents, and every acknowledged write after a SIGKILL."""

from __future__ import annotations

import asyncio
import stat
import sys
from asyncio.subprocess import PIPE
from contextlib import aclosing
from pathlib import Path

import pytest

from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Change, Compacted, Entry, Store, StoreError
from kplane.testing.clock import VirtualClock

from .conftest import Backend, make_backend

WRITER = """
import asyncio, sys
from pathlib import Path
from kplane.api.clock import SystemClock
from kplane.apiserver.storage.sqlite import SQLiteStore

async def write(store, lane):
    for number in range(10**9):
        revision = await store.put(f"/registry/{lane}/{number}", b"x" * 500, expect=0)
        print(f"/registry/{lane}/{number} {revision}", flush=True)

async def main():
    store = SQLiteStore(Path(sys.argv[1]), SystemClock())
    await store.open()
    async with asyncio.TaskGroup() as tasks:
        for lane in range(8):
            tasks.create_task(write(store, lane))

asyncio.run(main())
"""

HOLDER = """
import asyncio, sys
from pathlib import Path
from kplane.api.clock import SystemClock
from kplane.apiserver.storage.sqlite import SQLiteStore

async def main():
    await SQLiteStore(Path(sys.argv[1]), SystemClock()).open()
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(
    params=["sqlite", pytest.param("etcd", marks=[pytest.mark.slow, pytest.mark.xdist_group("etcd")])]
)
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    return make_backend(request, tmp_path)


async def test_a_restart_keeps_contents_history_and_revision(durable: Backend) -> None:
    kept, gone = durable.prefix + "kept", durable.prefix + "gone"
    async with durable.open() as store:
        await store.put(gone, b"1", expect=0)
        first = await store.put(kept, b"1", expect=0)
        second = await store.put(kept, b"2", expect=first)
        last = await store.delete(gone, expect=None)

    async with durable.open() as store:
        assert await store.revision() == last
        assert (await store.range(durable.prefix)).entries == [Entry(kept, b"2", second)]
        assert await store.get(kept, first) == Entry(kept, b"1", first)
        assert await next_change(store, durable.prefix, first) == Change(kept, b"2", b"1", second)
        assert await store.put(gone, b"again", expect=0) == last + 1


async def test_a_restart_keeps_the_revision_when_the_newest_write_was_compacted(durable: Backend) -> None:
    async with durable.open() as store:
        first = await store.put(durable.prefix + "a", b"1", expect=0)
        last = await store.delete(durable.prefix + "a", expect=first)
        await store.compact(last)

    async with durable.open() as store:
        assert await store.revision() == last
        with pytest.raises(Compacted):
            await store.get(durable.prefix + "a", first)


async def next_change(store: Store, prefix: str, after: int) -> Change:
    async with asyncio.timeout(10), aclosing(store.watch(prefix, after)) as batches:
        async for batch in batches:
            if batch.changes:
                return batch.changes[0]
    raise AssertionError("the watch ended")


async def test_expiry_goes_on_after_a_restart(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = SQLiteStore(tmp_path / "store.db", clock)
    await store.open()
    await store.put("/registry/event", b"", expect=0, ttl=60)
    await store.close()
    await clock.advance(3600)

    store = SQLiteStore(tmp_path / "store.db", clock)
    await store.open()
    await clock.advance(0)
    assert await next_change(store, "/registry/", 2) == Change("/registry/event", None, b"", 3)
    await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("acknowledged", [1, 400, 3000])
async def test_a_killed_process_loses_no_acknowledged_write(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "store.db"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), stdout=PIPE)
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(acknowledged)]
    process.kill()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    written = dict(line.decode().split() for line in lines if line.endswith(b"\n"))

    store = SQLiteStore(path, VirtualClock())
    await store.open()
    page = await store.range("/registry/")
    await store.close()

    found = {entry.key: str(entry.revision) for entry in page.entries}
    assert len(written) >= acknowledged
    assert written.items() <= found.items()
    assert sorted(int(revision) for revision in found.values()) == list(range(2, len(found) + 2))


@pytest.mark.slow
async def test_a_second_process_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(path), stdout=PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    store = SQLiteStore(path, VirtualClock())
    try:
        with pytest.raises(
            StoreError, match=rf"^{tmp_path} is in use by another kplane instance \(pid {process.pid}\)$"
        ):
            await store.open()
    finally:
        process.kill()
        await process.wait()

    await store.open()
    await store.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database" * 1000)
    store = SQLiteStore(path, VirtualClock())

    with pytest.raises(StoreError, match="cannot open"):
        await store.open()


async def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "missing" / "store.db", VirtualClock())

    with pytest.raises(StoreError, match="cannot open"):
        await store.open()


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db", VirtualClock())
    await store.open()
    await store.put("/registry/secrets/a", b"", expect=0)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    await store.close()

    assert modes
    assert {mode & 0o077 for mode in modes.values()} == {0}


async def test_what_is_written_while_the_store_closes_is_kept(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = SQLiteStore(tmp_path / "store.db", clock)
    await store.open()
    writing = asyncio.create_task(store.put("/a", b"{}", expect=0, ttl=60))
    await asyncio.sleep(0)
    await store.close()
    await writing

    again = SQLiteStore(tmp_path / "store.db", clock)
    await again.open()
    found = await again.get("/a")
    assert found is not None
    assert found.value == b"{}"
    await again.close()
