"""Group commit: all writes that wait are executed in one transaction, which one thread commits.

Only the commit, which waits for the disk, leaves the event loop. Each statement executed in a thread would
have to win back the interpreter lock from a busy loop, several times for each write
(docs/decisions/embedded-store.md).

Owns the writing connection. Invariant: a write is acknowledged, and `committed` called, when it is on the
disk, in revision order.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from . import sqlite_file as file
from .background import Background
from .sqlite_committer import Committer
from .store import Change, CompareFailed, StoreError

T = TypeVar("T")

GROUP = 256
"""Writes in one transaction at most: they hold the event loop while they are executed."""
CLEAN = 500
"""Rows that one transaction of a compaction looks for."""


@dataclass(slots=True, eq=False)
class Write:
    """A write in the queue; with value None a deletion."""

    key: str
    value: bytes | None
    expect: int | None
    expires: float | None
    done: asyncio.Future[int]


class Writer:
    """The only one who writes. `durable`: commit in a thread, for a connection that waits for a disk."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        committed: Callable[[Sequence[Write], Sequence[Change]], None],
        *,
        durable: bool,
    ) -> None:
        self.revision = file.newest_revision(connection)
        self._connection = connection
        self._committed = committed
        self._committer = Committer(connection) if durable else None
        self._background = Background()
        self._exclusive = asyncio.Lock()
        """Held while the connection has a transaction open."""
        self._queue: list[Write] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        await self._background.open()

    async def close(self) -> None:
        """Finish what is queued."""
        self._closed = True
        if self._flushing:
            await asyncio.wait([self._flushing])
        async with self._exclusive:
            await self._background.close()
        if self._committer:
            self._committer.close()
        self._connection.close()

    async def write(self, key: str, value: bytes | None, expect: int | None, expires: float | None) -> int:
        """The revision of the write. Raises CompareFailed, StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append(Write(key, value, expect, expires, done))
        if self._flushing is None:
            self._flushing = self._background.start(self._flush())
        return await done

    async def compact(self, revision: int) -> None:
        """Remove what was overwritten before `revision`, in steps that let writes through."""
        await asyncio.shield(self._background.start(self._compact(revision)))

    async def _flush(self) -> None:
        while self._queue:
            group, self._queue = self._queue[:GROUP], self._queue[GROUP:]
            try:
                outcomes = await self._transact(lambda group=group: self._execute(group))  # type: ignore[misc]
            except StoreError as error:
                outcomes = [error] * len(group)
            self._acknowledge(group, outcomes)
        self._flushing = None

    def _execute(self, group: Sequence[Write]) -> list[Change | Exception]:
        revision = self.revision
        outcomes: list[Change | Exception] = []
        for write in group:
            try:
                change = file.write(
                    self._connection, revision + 1, write.key, write.value, write.expect, write.expires
                )
            except CompareFailed as error:
                outcomes.append(error)
            else:
                revision = change.revision
                outcomes.append(change)
        return outcomes

    def _acknowledge(self, group: Sequence[Write], outcomes: Sequence[Change | Exception]) -> None:
        written = [(write, o) for write, o in zip(group, outcomes, strict=True) if isinstance(o, Change)]
        if written:
            self.revision = written[-1][1].revision
            self._committed([write for write, _ in written], [change for _, change in written])
        for write, outcome in zip(group, outcomes, strict=True):
            if write.done.done():
                continue
            if isinstance(outcome, Change):
                write.done.set_result(outcome.revision)
            else:
                write.done.set_exception(outcome)

    async def _compact(self, revision: int) -> None:
        await self._transact(lambda: file.set_compacted(self._connection, revision))
        cursor = await self._clean(revision, 0)
        while cursor:
            cursor = await self._clean(revision, cursor)

    async def _clean(self, revision: int, cursor: int) -> int:
        return await self._transact(
            lambda: file.remove_overwritten(self._connection, revision, cursor, CLEAN)
        )

    async def _transact(self, work: Callable[[], T]) -> T:
        async with self._exclusive:
            with store_errors("write failed"):
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work()
                    await self._commit()
                except sqlite3.Error:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                return result

    async def _commit(self) -> None:
        if self._committer is None:
            self._connection.commit()
        else:
            await self._committer.commit()


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """SQLite's errors as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{what}: {error}") from error
