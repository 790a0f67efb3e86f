"""The embedded store: one SQLite file, or nothing but memory, with etcd's semantics.

Owns the file and its lock. `sqlite_writer.py` writes; reads go to a second connection, which sees what is
committed; watches are fed in process after each commit (`feed.py`) and read the past from the file.

Invariant: the newest revision is known in process, because nobody else may open the file.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from heapq import heapify, heappop, heappush
from pathlib import Path

from kplane.api.clock import Clock

from . import sqlite_file as file
from .background import Background
from .feed import Feed
from .sqlite_writer import Write, Writer, store_errors
from .store import Batch, Change, Compacted, CompareFailed, Entry, FutureRevision, Page, StoreError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
REPLAY = 1000
"""Changes of the past in one batch."""
SWITCH_INTERVAL = 0.0005
"""Seconds after which a busy event loop yields to the committing thread; Python's 5 ms would be most of a
write's latency."""


class SQLiteStore:
    """A Store in the file `path`, or in memory if that is None."""

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = file.Lock(path.with_name(f"{path.name}.lock")) if path else None
        self._background = Background()
        self._writer: Writer
        self._reader: sqlite3.Connection
        self._compacted = 0
        self._feeds: set[Feed] = set()
        self._expiries: list[tuple[float, str, int]] = []
        """A heap of (expires, key, revision); rows whose key has changed since are stale."""
        self._expirer: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        if self._lock:
            self._lock.take()
        try:
            with store_errors(f"cannot open {self._path or 'the store'}"):
                self._connect()
        except StoreError:
            self._unlock()
            raise
        await self._background.open()
        await self._writer.open()
        self._schedule_expiry()

    async def close(self) -> None:
        self._closing = True
        await self._background.close()
        await self._writer.close()
        self._reader.close()
        self._unlock()

    async def revision(self) -> int:
        return self._writer.revision

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        self._check(revision)
        with store_errors("read failed"):
            if revision:
                return file.past(self._reader, key, revision)
            return file.current(self._reader, key)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        self._check(revision)
        with store_errors("read failed"), self._snapshot():
            newest = file.newest_revision(self._reader)
            return file.page(self._reader, prefix, start, limit, revision or newest, newest)

    async def count(self, prefix: str) -> int:
        with store_errors("read failed"):
            return file.count(self._reader, prefix)

    async def put(self, key: str, value: bytes, *, expect: int | None, ttl: int = 0) -> int:
        expires = self._clock.now().timestamp() + ttl if ttl else None
        return await self._writer.write(key, value, expect, expires)

    async def delete(self, key: str, *, expect: int | None) -> int:
        return await self._writer.write(key, None, expect, None)

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        feed = Feed(prefix)
        self._feeds.add(feed)
        try:
            while True:
                feed.rejoin()
                for batch in self._replay(prefix, after):
                    after = max(after, batch.revision)
                    yield batch
                while fed := await feed.take():
                    yield Batch([change for change in fed.changes if change.revision > after], fed.revision)
                    after = max(after, fed.revision)
        finally:
            self._feeds.discard(feed)

    async def compact(self, revision: int) -> None:
        self._check(revision)
        if revision == self._compacted:
            raise Compacted(self._compacted)
        self._compacted = revision
        await self._writer.compact(revision)

    def _connect(self) -> None:
        connection = file.connect(self._path)
        file.prepare(connection)
        self._reader = file.connect(self._path) if self._path else connection
        self._writer = Writer(connection, self._committed, durable=self._path is not None)
        self._compacted = file.compacted_revision(connection)
        self._expiries = list(file.expiring(connection))
        heapify(self._expiries)
        if self._path:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))

    def _unlock(self) -> None:
        if self._lock:
            self._lock.release()

    def _check(self, revision: int) -> None:
        """Whether the past can be read at this revision, 0 being the present."""
        if revision > self._writer.revision:
            raise FutureRevision(self._writer.revision)
        if 0 < revision < self._compacted:
            raise Compacted(self._compacted)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several reads of one state. The one connection to memory is never left in mid-write."""
        if not self._path:
            yield
            return
        self._reader.execute("BEGIN")
        try:
            yield
        finally:
            self._reader.execute("COMMIT")

    def _replay(self, prefix: str, after: int) -> Iterator[Batch]:
        """Changes since `after`, from the file."""
        while True:
            if after < self._compacted:
                raise Compacted(self._compacted)
            with store_errors("read failed"), self._snapshot():
                newest = file.newest_revision(self._reader)
                changes = file.changes(self._reader, prefix, after, REPLAY)
            if len(changes) < REPLAY:
                yield Batch(changes, newest)
                return
            after = changes[-1].revision
            yield Batch(changes, after)

    def _committed(self, writes: Sequence[Write], changes: Sequence[Change]) -> None:
        for feed in self._feeds:
            feed.offer(changes, changes[-1].revision)
        for write, change in zip(writes, changes, strict=True):
            if write.expires is not None:
                heappush(self._expiries, (write.expires, change.key, change.revision))
                if self._expiries[0][2] == change.revision:
                    self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        """Sleep until the first expiry, instead of whatever later one was first so far."""
        if self._closing:
            # What is being written still gets written; the next start expires it.
            return
        if self._expirer:
            self._expirer.cancel()
        self._expirer = self._background.start(self._expire()) if self._expiries else None

    async def _expire(self) -> None:
        while self._expiries:
            wait = self._expiries[0][0] - self._clock.now().timestamp()
            if wait > 0:
                await self._clock.sleep(wait)
                continue
            expires, key, revision = heappop(self._expiries)
            try:
                await self._writer.write(key, None, revision, None)
            except CompareFailed:
                continue  # Rewritten or deleted since: that write has its own expiry, or none.
            except StoreError as error:
                log.warning("expiry failed key=%s error=%s", key, error)
                heappush(self._expiries, (expires, key, revision))
                await self._clock.sleep(RETRY_SECONDS)
        self._expirer = None
