"""One store watch for everything: hands each change to its resource's cache, and knows how far it is.

Reads: the store's changes under `/registry/`. Owns the caches, one for each resource, made on first use.

Invariant: when `revision` says N, every loaded cache has applied every change up to N. So a read that must
see revision N waits for the hub alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from heapq import heapify, heappop, heappush
from itertools import count

from kplane.api.clock import Clock
from kplane.api.errors import Timeout

from . import codec
from .cache import Decode, Fields, Normalise, WatchCache
from .store import Batch, Compacted, Store, StoreError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
WAIT_SECONDS = 3.0
"""How long a read waits for the caches to catch up; upstream's `blockTimeout`."""


class Hub:
    """Feeds the caches. `run` must be running for anything to be answered."""

    def __init__(self, store: Store, clock: Clock, prefix: str = "/registry/") -> None:
        self.store = store
        self.clock = clock
        self.revision = 0
        self.generation = 0
        """Changes when the store watch has lost changes."""
        self._prefix = prefix
        self._caches: dict[str, WatchCache] = {}
        self._unloaded: asyncio.Queue[WatchCache] = asyncio.Queue()
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def cache(
        self,
        prefix: str,
        fields: Fields | None = None,
        normalise: Normalise | None = None,
        decode: Decode = codec.decode,
    ) -> WatchCache:
        """The cache of a resource, made on first use. `prefix` is `ResourceInfo.storage_prefix`, `fields`
        tells selectable fields where the resource has any beyond its name and namespace, `normalise` turns
        stored bytes into those that are kept, `decode` builds of them what `fields` reads."""
        known = self._caches.get(prefix)
        if known is None:
            known = self._caches[prefix] = WatchCache(self, prefix, fields, normalise, decode)
            self._unloaded.put_nowait(known)
        return known

    def caches(self) -> Mapping[str, WatchCache]:
        """Those that have been used, by prefix."""
        return self._caches

    def drop(self, prefix: str) -> None:
        """Forget a resource, such as a deleted custom one, and end its watches."""
        if cache := self._caches.pop(prefix, None):
            cache.end()

    async def run(self) -> None:
        """Follow the store until cancelled."""
        self.revision = await self._first_revision()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            while True:
                tasks.create_task((await self._unloaded.get()).load())

    async def newest(self) -> int:
        """The store's revision: what a consistent read must include. Raises StoreError."""
        return await self.store.revision()

    async def wait(self, revision: int, seconds: float = WAIT_SECONDS) -> None:
        """Return when every cache has reached `revision`. Raises Timeout."""
        if revision <= self.revision:
            return
        reached = asyncio.get_running_loop().create_future()
        waiter = (revision, next(self._order), reached)
        heappush(self._waiters, waiter)
        try:
            async with asyncio.timeout(seconds):
                await reached
        except TimeoutError as error:
            raise _too_large(revision, self.revision) from error
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                heapify(self._waiters)

    async def _first_revision(self) -> int:
        while True:
            try:
                return await self.store.revision()
            except StoreError as error:
                log.warning("store unreachable error=%s", error)
                await self.clock.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        while True:
            try:
                async with aclosing(self.store.watch(self._prefix, self.revision)) as batches:
                    async for batch in batches:
                        self._apply(batch)
            except Compacted as error:
                log.warning("store watch lost changes after=%d oldest=%d", self.revision, error.oldest)
                await self._start_over()
            except StoreError as error:
                log.warning("store watch failed after=%d error=%s", self.revision, error)
                await self.clock.sleep(RETRY_SECONDS)

    def _apply(self, batch: Batch) -> None:
        for change in batch.changes:
            if cache := self._owner(change.key):
                cache.apply(change)
        self._reach(batch.revision)

    def _reach(self, revision: int) -> None:
        self.revision = max(revision, self.revision)
        while self._waiters and self._waiters[0][0] <= self.revision:
            reached = heappop(self._waiters)[2]
            if not reached.done():
                reached.set_result(None)

    def _owner(self, key: str) -> WatchCache | None:
        """The cache whose prefix this key has: `/registry/pods/`, `/registry/apps.example.com/widgets/`."""
        end = len(self._prefix)
        while end := key.find("/", end) + 1:
            if cache := self._caches.get(key[:end]):
                return cache
        return None

    async def _start_over(self) -> None:
        """The past since `revision` is gone from the store: list everything and go on from there."""
        self.generation += 1
        while True:
            try:
                revision = await self.store.revision()
                for cache in tuple(self._caches.values()):
                    await cache.reload()
            except StoreError as error:
                log.warning("list failed error=%s", error)
                await self.clock.sleep(RETRY_SECONDS)
            else:
                # Again: a first list that began meanwhile may be older than where the watch goes on.
                self.generation += 1
                return self._reach(revision)


def _too_large(revision: int, current: int) -> Timeout:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return Timeout(message, {"causes": [cause]}, retry_after=1)
