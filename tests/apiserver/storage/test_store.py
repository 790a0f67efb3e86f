"""The Store contract, sentence by sentence, on every backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from kplane.apiserver.storage.store import (
    Batch,
    Change,
    Compacted,
    CompareFailed,
    Entry,
    FutureRevision,
    Store,
    StoreError,
)
from kplane.testing.waiting import eventually

from .conftest import Backend

PATIENCE = 10


class Watch:
    """A watch that a test reads change by change."""

    def __init__(self, batches: AsyncGenerator[Batch, None]) -> None:
        self._batches = batches
        self.batches: list[Batch] = []
        self.changes: list[Change] = []

    async def until(self, condition: Callable[[Watch], bool]) -> list[Change]:
        """Every change so far, once `condition` holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                batch = await anext(self._batches)
                self.batches.append(batch)
                self.changes += batch.changes
        return self.changes

    async def take(self, number: int) -> list[Change]:
        return await self.until(lambda watch: len(watch.changes) >= number)


@asynccontextmanager
async def watching(store: Store, prefix: str, after: int) -> AsyncIterator[Watch]:
    """A watch that stands."""
    async with aclosing(store.watch(prefix, after)) as batches:
        watch = Watch(batches)
        await watch.until(lambda watch: bool(watch.batches))
        yield watch


async def fill(store: Store, prefix: str, names: str) -> list[int]:
    return [await store.put(prefix + name, name.encode(), expect=0) for name in names]


async def test_a_new_store_has_a_revision(store: Store) -> None:
    assert await store.revision() >= 1


async def test_each_write_counts_one_revision(store: Store, backend: Backend) -> None:
    before = await store.revision()
    created = await store.put(backend.prefix + "a", b"1", expect=0)
    updated = await store.put(backend.prefix + "a", b"2", expect=created)
    deleted = await store.delete(backend.prefix + "a", expect=updated)

    assert [created, updated, deleted] == [before + 1, before + 2, before + 3]
    assert await store.revision() == deleted


async def test_get_returns_what_was_put_with_its_revision(store: Store, backend: Backend) -> None:
    key = backend.prefix + "ns/näme"
    revision = await store.put(key, b"\x00bytes\xff", expect=None)

    assert await store.get(key) == Entry(key, b"\x00bytes\xff", revision)


async def test_get_of_an_absent_key_is_none(store: Store, backend: Backend) -> None:
    assert await store.get(backend.prefix + "absent") is None


async def test_get_reads_the_past(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    before = await store.revision()
    first = await store.put(key, b"1", expect=0)
    second = await store.put(key, b"2", expect=first)
    deleted = await store.delete(key, expect=second)

    seen = [await store.get(key, revision) for revision in (before, first, second, deleted)]

    assert seen == [None, Entry(key, b"1", first), Entry(key, b"2", second), None]


@pytest.mark.parametrize("expect", [0, 1, 1_000_000])
async def test_put_that_expects_something_else_fails_with_the_current_entry(
    store: Store, backend: Backend, expect: int
) -> None:
    key = backend.prefix + "a"
    revision = await store.put(key, b"1", expect=None)

    with pytest.raises(CompareFailed) as failure:
        await store.put(key, b"2", expect=expect)

    assert failure.value.current == Entry(key, b"1", revision)
    assert await store.get(key) == Entry(key, b"1", revision)


async def test_put_that_expects_a_revision_fails_when_the_key_is_absent(
    store: Store, backend: Backend
) -> None:
    with pytest.raises(CompareFailed) as failure:
        await store.put(backend.prefix + "absent", b"1", expect=7)

    assert failure.value.current is None


async def test_put_without_expectation_always_writes(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    await store.put(key, b"1", expect=None)
    revision = await store.put(key, b"2", expect=None)

    assert await store.get(key) == Entry(key, b"2", revision)


async def test_a_failed_write_counts_no_revision(store: Store, backend: Backend) -> None:
    before = await store.put(backend.prefix + "a", b"1", expect=0)

    with pytest.raises(CompareFailed):
        await store.put(backend.prefix + "a", b"2", expect=0)

    assert await store.revision() == before


@pytest.mark.parametrize("expect", [None, 0, 5])
async def test_delete_of_an_absent_key_fails(store: Store, backend: Backend, expect: int | None) -> None:
    with pytest.raises(CompareFailed) as failure:
        await store.delete(backend.prefix + "absent", expect=expect)

    assert failure.value.current is None


async def test_delete_compares(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    stale = await store.put(key, b"1", expect=0)
    current = await store.put(key, b"2", expect=stale)

    with pytest.raises(CompareFailed) as failure:
        await store.delete(key, expect=stale)
    assert failure.value.current == Entry(key, b"2", current)

    await store.delete(key, expect=current)
    assert await store.get(key) is None


async def test_a_deleted_key_can_be_created_again(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    await store.put(key, b"1", expect=0)
    await store.delete(key, expect=None)
    revision = await store.put(key, b"2", expect=0)

    assert await store.get(key) == Entry(key, b"2", revision)


async def test_of_fifty_concurrent_swaps_exactly_one_wins_each_round(store: Store, backend: Backend) -> None:
    key = backend.prefix + "contended"
    revision = await store.put(key, b"start", expect=0)
    for _ in range(5):
        outcomes = await asyncio.gather(
            *(store.put(key, b"%d" % number, expect=revision) for number in range(50)), return_exceptions=True
        )
        winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, int)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, CompareFailed)]
        entry = await store.get(key)

        assert entry is not None
        assert (len(winners), len(losers)) == (1, 49)
        assert entry == Entry(key, b"%d" % winners[0], outcomes[winners[0]])
        assert {loser.current for loser in losers} == {entry}
        revision = entry.revision


async def test_concurrent_writes_have_distinct_revisions_in_one_row(store: Store, backend: Backend) -> None:
    before = await store.revision()
    revisions = await asyncio.gather(
        *(store.put(f"{backend.prefix}{number}", b"x", expect=0) for number in range(100))
    )

    assert sorted(revisions) == list(range(before + 1, before + 101))


async def test_an_acknowledged_write_is_in_every_later_read(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    for number in range(20):
        written = await store.put(key, b"%d" % number, expect=None)
        entry, page, revision = await asyncio.gather(
            store.get(key), store.range(backend.prefix), store.revision()
        )

        assert entry == Entry(key, b"%d" % number, written)
        assert page.entries == [entry]
        assert revision == page.revision == written


async def test_a_write_whose_caller_goes_away_leaves_the_store_in_order(
    store: Store, backend: Backend
) -> None:
    key = backend.prefix + "a"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await store.put(key, b"1", expect=None)

    revision = await store.put(key, b"2", expect=None)
    assert await store.get(key) == Entry(key, b"2", revision)


async def test_range_is_in_key_order_and_only_of_the_prefix(store: Store, backend: Backend) -> None:
    await fill(store, backend.prefix + "in/", "cab")
    await fill(store, backend.prefix, "z")
    await store.put(backend.prefix + "in", b"", expect=0)
    await store.put(backend.prefix + "in0", b"", expect=0)

    page = await store.range(backend.prefix + "in/")

    assert [entry.value for entry in page.entries] == [b"a", b"b", b"c"]
    assert (page.remaining, page.revision) == (0, await store.revision())


@pytest.mark.parametrize(
    ("start", "limit", "found", "remaining"),
    [
        pytest.param("", 2, b"ab", 3, id="first"),
        pytest.param("c", 2, b"cd", 1, id="middle"),
        pytest.param("e", 2, b"e", 0, id="last"),
        pytest.param("d", 2, b"de", 0, id="just to the end"),
        pytest.param("c", 0, b"cde", 0, id="no limit"),
        pytest.param("b\0", 1, b"c", 2, id="behind a key"),
        pytest.param("x", 2, b"", 0, id="behind the end"),
    ],
)
async def test_range_pages(
    store: Store, backend: Backend, start: str, limit: int, found: bytes, remaining: int
) -> None:
    await fill(store, backend.prefix, "abcde")

    page = await store.range(backend.prefix, start=backend.prefix + start if start else "", limit=limit)

    assert b"".join(entry.value for entry in page.entries) == found
    assert page.remaining == remaining


async def test_range_reads_the_past_page_by_page(store: Store, backend: Backend) -> None:
    revisions = await fill(store, backend.prefix, "abcd")
    await store.put(backend.prefix + "b", b"B", expect=None)
    await store.delete(backend.prefix + "c", expect=None)
    await fill(store, backend.prefix, "e")

    first = await store.range(backend.prefix, limit=2, revision=revisions[-1])
    second = await store.range(backend.prefix, start=backend.prefix + "c", revision=revisions[-1])

    assert [entry.value for entry in (*first.entries, *second.entries)] == [b"a", b"b", b"c", b"d"]
    assert (first.revision, first.remaining) == (revisions[-1], 2)


async def test_range_skips_what_was_deleted_in_the_past(store: Store, backend: Backend) -> None:
    await fill(store, backend.prefix, "ab")
    deleted = await store.delete(backend.prefix + "a", expect=None)
    await store.put(backend.prefix + "a", b"new", expect=0)

    page = await store.range(backend.prefix, revision=deleted)

    assert [entry.value for entry in page.entries] == [b"b"]


@pytest.mark.slow
async def test_a_long_range_is_whole(store: Store, backend: Backend) -> None:
    keys = [f"{backend.prefix}{number:05}" for number in range(1203)]
    await asyncio.gather(*(store.put(key, key.encode(), expect=0) for key in keys))

    whole = await store.range(backend.prefix)
    limited = await store.range(backend.prefix, limit=1100)

    assert [entry.key for entry in whole.entries] == keys
    assert ([entry.key for entry in limited.entries], limited.remaining) == (keys[:1100], 103)


async def test_count_counts_keys_with_the_prefix(store: Store, backend: Backend) -> None:
    await fill(store, backend.prefix + "in/", "abc")
    await fill(store, backend.prefix, "z")
    await store.delete(backend.prefix + "in/b", expect=None)

    assert await store.count(backend.prefix + "in/") == 2


async def test_the_future_cannot_be_read(store: Store, backend: Backend) -> None:
    current = await store.revision()

    with pytest.raises(FutureRevision) as on_get:
        await store.get(backend.prefix + "a", current + 10)
    with pytest.raises(FutureRevision) as on_range:
        await store.range(backend.prefix, revision=current + 10)

    assert on_get.value.current == on_range.value.current == current


async def test_compaction_forgets_the_past_and_keeps_the_present(store: Store, backend: Backend) -> None:
    (first,) = await fill(store, backend.prefix, "a")
    await fill(store, backend.prefix, "b")
    await store.put(backend.prefix + "a", b"A", expect=None)
    deleted = await store.delete(backend.prefix + "b", expect=None)
    await store.compact(deleted)

    with pytest.raises(Compacted):
        await store.get(backend.prefix + "a", first)
    with pytest.raises(Compacted):
        await store.range(backend.prefix, revision=first)
    with pytest.raises(Compacted):
        async with watching(store, backend.prefix, first - 1) as watch:
            await watch.take(1)

    for page in (await store.range(backend.prefix), await store.range(backend.prefix, revision=deleted)):
        assert [entry.value for entry in page.entries] == [b"A"]
    assert await store.revision() == deleted


async def test_compaction_keeps_what_happened_since(store: Store, backend: Backend) -> None:
    await fill(store, backend.prefix, "a")
    compacted = await store.put(backend.prefix + "a", b"old", expect=None)
    await store.put(backend.prefix + "a", b"new", expect=None)
    await store.compact(compacted)

    entry = await store.get(backend.prefix + "a", compacted)
    async with watching(store, backend.prefix, compacted) as watch:
        (change,) = await watch.take(1)

    assert entry == Entry(backend.prefix + "a", b"old", compacted)
    assert (change.previous, change.value) == (b"old", b"new")


async def test_what_was_compacted_cannot_be_compacted_again(store: Store, backend: Backend) -> None:
    (revision,) = await fill(store, backend.prefix, "a")
    await store.compact(revision)

    with pytest.raises(Compacted):
        await store.compact(revision)
    with pytest.raises(FutureRevision):
        await store.compact(revision + 100)


async def test_watch_tells_every_change_with_what_was_before(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    async with watching(store, backend.prefix, await store.revision()) as watch:
        created = await store.put(key, b"1", expect=0)
        updated = await store.put(key, b"2", expect=created)
        deleted = await store.delete(key, expect=updated)

        assert await watch.take(3) == [
            Change(key, b"1", None, created),
            Change(key, b"2", b"1", updated),
            Change(key, None, b"2", deleted),
        ]


async def test_watch_replays_the_past_and_goes_on_with_the_present(store: Store, backend: Backend) -> None:
    key = backend.prefix + "a"
    (first,) = await fill(store, backend.prefix, "a")
    second = await store.put(key, b"2", expect=first)
    third = await store.delete(key, expect=second)

    async with watching(store, backend.prefix, first) as watch:
        fourth = await store.put(key, b"4", expect=0)

        assert await watch.take(3) == [
            Change(key, b"2", b"a", second),
            Change(key, None, b"2", third),
            Change(key, b"4", None, fourth),
        ]


async def test_watch_tells_only_its_prefix(store: Store, backend: Backend) -> None:
    async with watching(store, backend.prefix + "in/", await store.revision()) as watch:
        await store.put(backend.prefix + "in", b"", expect=0)
        await store.put(backend.prefix + "in0", b"", expect=0)
        await store.put(backend.prefix + "in/a", b"", expect=0)

        assert [change.key for change in await watch.take(1)] == [backend.prefix + "in/a"]


async def test_watch_from_the_future_tells_nothing_earlier(store: Store, backend: Backend) -> None:
    now = await store.revision()
    async with watching(store, backend.prefix, now + 2) as watch:
        await fill(store, backend.prefix, "abcd")

        assert [change.value for change in await watch.take(2)] == [b"c", b"d"]


async def test_watches_see_concurrent_writes_once_and_in_order(store: Store, backend: Backend) -> None:
    before = await store.revision()
    async with (
        watching(store, backend.prefix, before) as one,
        watching(store, backend.prefix, before) as other,
    ):
        revisions = await asyncio.gather(
            *(store.put(f"{backend.prefix}{number % 7}", b"x", expect=None) for number in range(300))
        )

        for watch in (one, other):
            changes = await watch.take(300)
            assert [change.revision for change in changes] == sorted(revisions)
            reached = [batch.revision for batch in watch.batches]
            assert reached == sorted(reached)
            assert reached[-1] == max(revisions)


async def test_a_batch_covers_what_its_revision_says(store: Store, backend: Backend) -> None:
    before = await store.revision()
    async with watching(store, backend.prefix, before) as watch:
        await asyncio.gather(
            *(store.put(f"{backend.prefix}{number}", b"x", expect=0) for number in range(100))
        )
        await watch.take(100)

        low = before
        for batch in watch.batches:
            assert [change.revision for change in batch.changes] == list(range(low + 1, batch.revision + 1))
            low = batch.revision


@pytest.mark.slow
async def test_a_watch_that_is_not_read_for_long_misses_nothing(store: Store, backend: Backend) -> None:
    before = await store.revision()
    async with watching(store, backend.prefix, before) as watch:
        for _ in range(11):
            await asyncio.gather(
                *(store.put(f"{backend.prefix}{n}", b"x" * 10, expect=None) for n in range(1000))
            )

        changes = await watch.take(11_000)

    assert [change.revision for change in changes] == list(range(before + 1, before + 11_001))


async def test_a_key_with_ttl_vanishes_as_a_deletion(store: Store, backend: Backend) -> None:
    key = backend.prefix + "event"
    async with watching(store, backend.prefix, await store.revision()) as watch:
        created = await store.put(key, b"1", expect=0, ttl=2)
        assert await store.get(key) == Entry(key, b"1", created)

        await backend.pass_time(2)
        _, expired = await watch.take(2)

    assert (expired.key, expired.value, expired.previous) == (key, None, b"1")
    assert expired.revision > created
    assert await store.get(key) is None


async def test_a_later_write_decides_about_expiry(store: Store, backend: Backend) -> None:
    kept, renewed, gone = (backend.prefix + name for name in ("kept", "renewed", "gone"))
    for key in (kept, renewed, gone):
        await store.put(key, b"1", expect=0, ttl=2)
    await store.put(kept, b"2", expect=None)
    await store.put(renewed, b"2", expect=None, ttl=100)

    await backend.pass_time(3)
    await eventually(lambda: _is_gone(store, gone))

    assert [entry.key for entry in (await store.range(backend.prefix)).entries] == [kept, renewed]


async def test_shorter_ttl_expires_first(store: Store, backend: Backend) -> None:
    await store.put(backend.prefix + "long", b"", expect=0, ttl=1000)
    await store.put(backend.prefix + "short", b"", expect=0, ttl=2)

    await backend.pass_time(3)
    await eventually(lambda: _is_gone(store, backend.prefix + "short"))

    assert [entry.key for entry in (await store.range(backend.prefix)).entries] == [backend.prefix + "long"]


async def _is_gone(store: Store, key: str) -> bool:
    return await store.get(key) is None


async def test_a_closed_store_refuses_writes(backend: Backend) -> None:
    async with backend.open() as store:
        pass

    with pytest.raises(StoreError):
        await store.put(backend.prefix + "a", b"", expect=None)
