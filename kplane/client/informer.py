"""Informers: a local, indexed copy of a resource, kept current by list and watch.

Handlers run on the event loop, synchronously, after the cache holds the change; they must be quick and must
not await (typically: put a key into a queue). Cached views are frozen and shared. The cache itself is in
`cache.py`; this module decides when to list, from where to watch, and how long to wait after a failure.

Invariant: no change is missed and none is delivered twice, whatever the connection does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeAlias, TypeVar, cast

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, Expired, Gone
from kplane.api.resource import Key, Resource, resource_of
from kplane.api.types.meta import View, key_of
from kplane.client.backoff import Backoff
from kplane.client.cache import Cache, Handler
from kplane.client.rest import Client, Listing, WatchEvent

T = TypeVar("T")

__all__ = ["Handler", "Informer", "InformerFactory"]

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.8
LONGEST_BACKOFF = 30.0

MIN_WATCH_SECONDS = 300
"""Each watch asks to be ended after this time to twice this time, so that clients spread over servers."""

SHORTEST_WATCH = 1.0
"""A watch that ends sooner without a single event counts as a failure, or it would be retried in a loop."""


Prepare: TypeAlias = Callable[[Any], None]


def _as_it_is(obj: Any) -> None:
    """Nothing is done to objects."""


class Informer(Generic[T]):
    """Created by an InformerFactory, so that components share one per resource and selector."""

    def __init__(
        self,
        client: Client,
        what: type[T] | Resource[T],
        *,
        clock: Clock,
        entropy: Entropy,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        prepare: Prepare = _as_it_is,
    ) -> None:
        """`prepare` is called with each object before the cache has it."""
        self.resource = resource_of(what)
        self._prepare = prepare
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._cache: Cache[T] = Cache()
        self._synced = asyncio.Event()
        self._revision = ""
        self._list_from = "0"
        self._stale = True
        self._starting_over = False
        self._backoff = Backoff(FIRST_BACKOFF, LONGEST_BACKOFF, entropy)

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The newest revision that this cache has seen."""
        return self._revision

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def get(self, key: Key) -> T | None:
        return self._cache.get(key)

    def list(self, namespace: str | None = None) -> Sequence[T]:
        """All objects, or those of one namespace."""
        return self._cache.list(namespace)

    def add_index(self, name: str, values: Callable[[T], Iterable[str]]) -> None:
        """Index objects by what `values` returns. Before `run` or after; existing objects are indexed."""
        self._cache.add_index(name, values)

    def by_index(self, name: str, value: str) -> Sequence[T]:
        return self._cache.by_index(name, value)

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler` for every change; objects already cached are delivered as added at once."""
        self._cache.on_change(handler)

    def off_change(self, handler: Handler[T]) -> None:
        """The end of `on_change`."""
        self._cache.off_change(handler)

    def owned_by(self, uid: str) -> Sequence[T]:
        """Objects whose controller ownerReference has this uid (a built-in index)."""
        return self._cache.owned_by(uid)

    def replace(self, listing: Listing[T]) -> None:
        """Take a complete list as the newest state and watch on from its revision."""
        for obj in listing.items:
            self._prepare(obj)
        self._cache.replace({_key(obj): obj for obj in listing.items})
        self._revision = self._list_from = listing.resource_version
        self._stale = False
        self._synced.set()

    async def run(self) -> None:
        """List and watch until cancelled. Resumes at the last revision; lists anew on 410; backs off
        (0.8 s to 30 s, jittered) while the server cannot be reached."""
        while True:
            try:
                if self._stale:
                    await self._list()
                await self._watch()
            except (Expired, Gone) as error:
                await self._start_over(error)
            except ApiError as error:
                await self._pause(error)

    async def _list(self) -> None:
        listing = await self._client.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self._list_from,
        )
        log.debug("listed resource=%s objects=%d", self.resource.plural, len(listing.items))
        self.replace(listing)

    async def _watch(self) -> None:
        """One watch, until the server ends it."""
        began = self._clock.monotonic()
        seconds = int(self._entropy.uniform(MIN_WATCH_SECONDS, 2 * MIN_WATCH_SECONDS))
        events = self._client.watch(
            self.resource,
            self._namespace,
            resource_version=self._revision,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_seconds=seconds,
        )
        heard = False
        try:
            async with aclosing(cast(Any, events)):
                async for event in events:
                    self._take(event)
                    heard = True
        finally:
            # It stood, even if there was nothing to tell: what ends it is a new failure.
            if self._clock.monotonic() - began >= SHORTEST_WATCH:
                self._backoff.reset()
        if not heard and self._clock.monotonic() - began < SHORTEST_WATCH:
            raise ApiError("the watch ended at once")

    def _take(self, event: WatchEvent[T]) -> None:
        if event.object is not None:
            self._prepare(event.object)
            gone = event.type == "DELETED"
            self._cache.apply(_key(event.object), None if gone else event.object)
        self._revision = self._list_from = event.resource_version or self._revision
        self._starting_over = False
        self._backoff.reset()

    async def _start_over(self, error: ApiError) -> None:
        """History is gone: the next list must be what the store holds now, not an old cached state."""
        log.info("listing anew resource=%s why=%s", self.resource.plural, error)
        self._stale, self._list_from = True, ""
        if self._starting_over:
            await self._pause(error)
        self._starting_over = True

    async def _pause(self, error: ApiError) -> None:
        delay = max(self._backoff.delay(), error.retry_after or 0)
        log.warning("watch failed resource=%s retry_in=%.1fs why=%s", self.resource.plural, delay, error)
        await self._clock.sleep(delay)


def _key(obj: Any) -> Key:
    return key_of(obj)


class InformerFactory:
    """One informer per (resource, view class, namespace, selectors) of a process."""

    def __init__(
        self, client: Client, *, clock: Clock, entropy: Entropy, prepare: Prepare = _as_it_is
    ) -> None:
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._prepare = prepare
        self._informers: dict[tuple[Resource[Any], str, str, str], Informer[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    def informer(
        self,
        what: type[T] | Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer[T]:
        """The shared informer; starts with `run`, or at once where the factory runs already."""
        identity = (resource_of(what), namespace, label_selector, field_selector)
        found = self._informers.get(identity)
        if found is None:
            found = self._informers[identity] = self._make(what, namespace, label_selector, field_selector)
            if self._group is not None:
                self._group.create_task(found.run())
        return found

    def with_metadata(self, resource: Resource[Any]) -> Informer[Any] | None:
        """An informer that exists already and holds views of all objects of the resource: whatever else they
        leave out, they have the whole metadata. None if there is no such informer."""
        for what, namespace, label_selector, field_selector in self._informers:
            same = (what.prefix, what.plural) == (resource.prefix, resource.plural)
            everything = not (namespace or label_selector or field_selector)
            if same and everything and isinstance(what.view, type) and issubclass(what.view, View):
                return self._informers[what, namespace, label_selector, field_selector]
        return None

    @property
    def client(self) -> Client:
        """Reads with the informers' rights."""
        return self._client

    def __len__(self) -> int:
        """How many informers there are."""
        return len(self._informers)

    async def wait_synced(self) -> None:
        """Until every informer made so far is synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def run(self) -> None:
        """Run all informers (also those made later) until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for informer in self._informers.values():
                    group.create_task(informer.run())
                await asyncio.Event().wait()
            finally:
                self._group = None

    def _make(
        self, what: type[T] | Resource[T], namespace: str, label_selector: str, field_selector: str
    ) -> Informer[T]:
        return Informer(
            self._client,
            what,
            clock=self._clock,
            entropy=self._entropy,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            prepare=self._prepare,
        )
