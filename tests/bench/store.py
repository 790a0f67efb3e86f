"""Store and watch cache: writes and reads per backend, fan-out, lists, memory.

    python -m tests.bench.store

Prints one line for each figure, `name value unit`: medians over several runs, percentiles over all of them.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from kplane.api.clock import SystemClock
from kplane.api.resource import Object
from kplane.apiserver.storage import codec
from kplane.apiserver.storage.cache import Selection, WatchCache, Watcher
from kplane.apiserver.storage.etcd import EtcdConfig, EtcdStore
from kplane.apiserver.storage.hub import Hub
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Change, Store
from kplane.testing.etcd import Etcd

RUNS = 3
SECONDS = 1.0
PODS = 10_000
WATCHERS = 1_000
PREFIX = "/registry/pods/"

CLOCK = SystemClock()
now = CLOCK.monotonic


def report(name: str, value: float, unit: str) -> None:
    print(f"{name} {value:.4g} {unit}", flush=True)


def pod(number: int) -> bytes:
    """About 2 KB, as the API server stores it."""
    container = {
        "name": "app",
        "image": "registry.example.com/team/app:v1.2.3",
        "env": [{"name": f"VARIABLE_{n}", "value": f"value-{n}-" + "x" * 20} for n in range(18)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
    }
    metadata = {
        "name": f"app-6d4cf56db6-{number:05}",
        "namespace": f"team-{number % 20:02}",
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "labels": {"app": f"app-{number % 50}", "pod-template-hash": "6d4cf56db6", "tier": "web"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    spec = {"nodeName": f"node-{number % 100}", "containers": [container], "restartPolicy": "Always"}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}] * 4,
    }
    return codec.encode(
        {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": status}
    )


def fields(obj: Object) -> Mapping[str, str]:
    return {"spec.nodeName": obj["spec"]["nodeName"], "status.phase": obj["status"]["phase"]}


def key(number: int) -> str:
    return f"{PREFIX}team-{number % 20:02}/app-6d4cf56db6-{number:05}"


async def rate(name: str, lanes: int, work: Callable[[int], Awaitable[object]]) -> None:
    """How often `work` gets done with so many in flight, and how long each takes."""
    rates: list[float] = []
    latencies: list[float] = []
    number = 0

    async def lane(end: float) -> None:
        nonlocal number
        while (begin := now()) < end:
            number += 1
            await work(number)
            latencies.append(now() - begin)

    for _ in range(RUNS):
        done = len(latencies)
        await asyncio.gather(*(lane(now() + SECONDS) for _ in range(lanes)))
        rates.append((len(latencies) - done) / SECONDS)
    cuts = statistics.quantiles(latencies, n=100)
    report(f"{name}.rate", statistics.median(rates), "1/s")
    report(f"{name}.p50", cuts[49] * 1e3, "ms")
    report(f"{name}.p99", cuts[98] * 1e3, "ms")


async def best_of(name: str, times: int, work: Callable[[], Awaitable[object]], unit: str) -> None:
    """Time of one call: the median over runs of `times` calls."""
    scale = {"us": 1e6, "ms": 1e3}[unit]
    runs = []
    for _ in range(RUNS):
        begin = now()
        for _ in range(times):
            await work()
        runs.append((now() - begin) / times * scale)
    report(name, statistics.median(runs), unit)


async def bench_store(name: str, store: Store) -> None:
    value = pod(1)
    for lanes in (1, 32):
        await rate(f"{name}.put.{lanes}", lanes, lambda n: store.put(key(n % PODS), value, expect=None))
    for lanes in (1, 32):
        await rate(f"{name}.get.{lanes}", lanes, lambda n: store.get(key(n % PODS)))


@asynccontextmanager
async def cached(store: Store) -> AsyncIterator[WatchCache]:
    """A cache of PODS pods."""
    values = [(key(number), pod(number)) for number in range(PODS)]
    for start in range(0, PODS, 500):
        await asyncio.gather(*(store.put(k, v, expect=0) for k, v in values[start : start + 500]))
    report("pod.stored", statistics.mean(len(value) for _, value in values), "B")
    del values
    hub = Hub(store, CLOCK)
    running = asyncio.create_task(hub.run())
    other = hub.cache("/registry/nothing/")
    await other.list()
    begin = now()
    await hub.cache(PREFIX, fields).list()
    report("cache.load", (now() - begin) * 1e3, "ms")
    hub.drop(PREFIX)
    gc.collect()
    tracemalloc.start()
    cache = hub.cache(PREFIX, fields)
    await cache.list()
    report("cache.memory_per_pod", tracemalloc.get_traced_memory()[0] / PODS, "B")
    tracemalloc.stop()
    try:
        yield cache
    finally:
        running.cancel()
        await asyncio.wait([running])


async def bench_cache(store: Store) -> None:
    red = Selection(predicate=lambda item: item.labels.get("app") == "app-7")
    on_node = Selection(equals={"spec.nodeName": "node-7"})
    team = Selection(namespace="team-07")

    async def chunks(cache: WatchCache, selection: Selection, **how: int) -> Sequence[bytes]:
        return [item.wire for item in (await cache.list(selection, **how)).items]

    async with cached(store) as cache:
        everything = Selection()
        await best_of(
            "cache.get.consistent", 20_000, lambda: cache.get("team-07", "app-6d4cf56db6-00007"), "us"
        )
        await best_of(
            "cache.get.any", 20_000, lambda: cache.get("team-07", "app-6d4cf56db6-00007", at_least=0), "us"
        )
        await best_of("cache.list.10000", 20, lambda: chunks(cache, everything), "ms")
        await best_of("cache.list.limit_500", 100, lambda: chunks(cache, everything, limit=500), "ms")
        await best_of("cache.list.namespace", 100, lambda: chunks(cache, team), "ms")
        await best_of("cache.list.label", 20, lambda: chunks(cache, red), "ms")
        await best_of("cache.list.node", 20, lambda: chunks(cache, on_node), "ms")
        await bench_fan_out(store, cache)
        await bench_feed(cache)


async def bench_feed(cache: WatchCache) -> None:
    """What one change costs the cache, decoding included, when nobody watches. Nothing may follow: these
    changes are not in the store."""
    numbers = iter(range(10**6))
    values = [pod(number) for number in range(2000)]
    revision = cache.revision

    async def apply() -> None:
        number = next(numbers)
        change = Change(key(number % 2000), values[number % 2000], None, revision + 1 + number)
        cache.apply(change)

    await best_of("cache.apply", 5000, apply, "us")


async def bench_fan_out(store: Store, cache: WatchCache) -> None:
    """From the write's answer until the last of WATCHERS has the event's bytes."""
    taken = 0
    complete = asyncio.Event()

    async def consume(watcher: Watcher) -> None:
        nonlocal taken
        async for batch in watcher:
            for event in batch:
                taken += len(event.frame) > 0
            if taken == WATCHERS:
                complete.set()

    watchers = [await cache.watch(at_least=0) for _ in range(WATCHERS)]
    consumers = [asyncio.create_task(consume(watcher)) for watcher in watchers]
    times = []
    for number in range(100):
        taken = 0
        complete.clear()
        await store.put(key(number), pod(number), expect=None)
        begin = now()
        await complete.wait()
        times.append((now() - begin) * 1e3)
    for watcher in watchers:
        watcher.close()
    await asyncio.gather(*consumers)
    cuts = statistics.quantiles(times, n=100)
    report(f"watch.fan_out.{WATCHERS}.p50", cuts[49], "ms")
    report(f"watch.fan_out.{WATCHERS}.p99", cuts[98], "ms")


async def main() -> None:
    with TemporaryDirectory(prefix="kplane-bench-") as folder:
        sqlite = SQLiteStore(Path(folder) / "store.db", CLOCK)
        await sqlite.open()
        await bench_store("sqlite", sqlite)
        await sqlite.close()
    async with Etcd() as etcd:
        store = EtcdStore(EtcdConfig([etcd.url]), CLOCK)
        await store.open()
        await bench_store("etcd", store)
        await store.close()
    memory = SQLiteStore(None, CLOCK)
    await memory.open()
    await bench_cache(memory)
    await memory.close()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
