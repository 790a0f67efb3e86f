"""What Prometheus learns about the store: how long its answers take, how much it holds and is watched."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kplane.api.clock import Clock
from kplane.api.scheme import ResourceInfo

from ..audit import latency
from ..measuring import Counter, Histogram, Series, Tally
from .hub import Hub
from .store import Batch, Entry, Page, Store, StoreError

Resource = tuple[str, str]
Locate = Callable[[str], Resource]
"""From a key in the store to group and resource."""
T = TypeVar("T")


class MeasuredStore:
    """A store whose every answer is timed. Waiting for changes is no request."""

    def __init__(self, store: Store, locate: Locate, clock: Clock, registry: CollectorRegistry) -> None:
        self._store = store
        self._locate = locate
        self._clock = clock
        self._durations = Histogram(
            "etcd_request_duration_seconds",
            "Etcd request latency in seconds for each operation and object type.",
            ("operation", "group", "resource"),
            registry,
        )
        labels = ("operation", "group", "resource")
        self._requests = Counter(
            "etcd_requests",
            "Etcd request counts for each operation and object type.",
            labels,
            registry,
        )
        self._errors = Counter(
            "etcd_request_errors",
            "Etcd failed request counts for each operation and object type.",
            labels,
            registry,
        )
        self._series: dict[tuple[str, str, str], tuple[Series, Tally]] = {}

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def revision(self) -> int:
        return await self._store.revision()

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        return await self._timed("get", key, self._store.get(key, revision))

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        found = self._store.range(prefix, start=start, limit=limit, revision=revision)
        return await self._timed("list", prefix, found)

    async def count(self, prefix: str) -> int:
        return await self._timed("count", prefix, self._store.count(prefix))

    async def put(self, key: str, value: bytes, *, expect: int | None, ttl: int = 0) -> int:
        operation = "update" if expect else "create"
        return await self._timed(operation, key, self._store.put(key, value, expect=expect, ttl=ttl))

    async def delete(self, key: str, *, expect: int | None) -> int:
        return await self._timed("delete", key, self._store.delete(key, expect=expect))

    def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        return self._store.watch(prefix, after)

    async def compact(self, revision: int) -> None:
        await self._store.compact(revision)

    async def _timed(self, operation: str, key: str, answer: Awaitable[T]) -> T:
        where = self._locate(key)
        began = self._clock.monotonic()
        try:
            return await answer
        except StoreError:
            self._errors.labels(operation, *where).count += 1
            raise
        finally:
            series, counter = self._of(operation, where)
            seconds = self._clock.monotonic() - began
            series.observe(seconds)
            counter.count += 1
            if (latencies := latency.current()) is not None:
                latencies.add(latency.STORE, seconds)

    def _of(self, operation: str, where: Resource) -> tuple[Series, Tally]:
        labels = (operation, *where)
        known = self._series.get(labels)
        if known is None:
            known = self._series[labels] = (self._durations.labels(*labels), self._requests.labels(*labels))
        return known


def locator(rows: Callable[[], Iterable[ResourceInfo]]) -> Locate:
    """Keys begin with their resource's prefix, which is one name or, mostly for groups, two."""
    known: dict[str, Resource] = {}

    def locate(key: str) -> Resource:
        parts = key.split("/", 4)
        for prefix in (f"/registry/{parts[2]}/", "/".join(parts[:4]) + "/"):
            if prefix in known:
                return known[prefix]
        known.update({row.storage_prefix: (row.group, row.plural) for row in rows() if not row.stored_as})
        found = known.get(f"/registry/{parts[2]}/") or known.get("/".join(parts[:4]) + "/")
        return found or ("", "")

    return locate


class CacheMetrics(Collector):
    """How many objects the caches hold, and how many watches they feed."""

    def __init__(
        self, hub: Hub, rows: Callable[[], Iterable[ResourceInfo]], registry: CollectorRegistry
    ) -> None:
        self._hub = hub
        self._rows = rows
        registry.register(self)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        older, objects, watchers = families = self._families()
        caches = dict(self._hub.caches())
        for row in self._rows():
            cache = caches.get(row.storage_prefix)
            if cache is None or row.stored_as:
                continue
            older.add_metric([f"{row.plural}.{row.group}" if row.group else row.plural], cache.size)
            objects.add_metric([row.group, row.plural], cache.size)
            watchers.add_metric([row.group, row.version, row.kind], cache.watched)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "apiserver_storage_objects",
                "Number of stored objects at the time of last check split by kind. In case of a fetching "
                "error, the value will be -1.",
                labels=("resource",),
            ),
            GaugeMetricFamily(
                "apiserver_resource_objects",
                "Number of stored objects at the time of last check split by kind. In case of a fetching "
                "error, the value will be -1.",
                labels=("group", "resource"),
            ),
            GaugeMetricFamily(
                "apiserver_registered_watchers",
                "Number of currently registered watchers for a given resources",
                labels=("group", "version", "kind"),
            ),
        )
