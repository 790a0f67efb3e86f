"""Periodic compaction, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from kplane.apiserver.storage.compaction import Compactor
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Compacted
from kplane.testing.clock import VirtualClock


async def test_what_is_older_than_an_interval_is_forgotten() -> None:
    clock = VirtualClock()
    store = SQLiteStore(None, clock)
    await store.open()
    running = asyncio.create_task(Compactor(store, clock, interval=300).run())
    await clock.idle()
    revisions = []
    for _ in range(4):
        revisions.append(await store.put("/registry/a", b"x", expect=None))
        await clock.advance(300)

    with pytest.raises(Compacted):
        await store.get("/registry/a", revisions[1])
    kept = [await store.get("/registry/a", revision) for revision in revisions[2:]]
    running.cancel()
    await asyncio.wait([running])
    await store.close()

    assert [entry.revision for entry in kept if entry] == revisions[2:]


async def test_another_server_that_was_faster_is_no_fault() -> None:
    clock = VirtualClock()
    store = SQLiteStore(None, clock)
    await store.open()
    running = [asyncio.create_task(Compactor(store, clock, interval=300).run()) for _ in range(2)]
    for _ in range(4):
        await store.put("/registry/a", b"x", expect=None)
        await clock.advance(300)
    alive = [not task.done() for task in running]
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    await store.close()

    assert alive == [True, True]
