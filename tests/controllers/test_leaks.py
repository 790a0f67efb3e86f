"""The manager remembers nothing of what is gone: what it holds after two rounds is what it held after one."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter, deque
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import rfc3339
from kplane.api.types import Deployment, Job, Namespace, Pod, Service
from kplane.client.correlator import _Group, _Recent
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.testing.batch import make_job, reap
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import make_deployment, make_namespace, make_pod, make_service

ROUND = 200
CONTAINERS = (dict, set, list, deque)
BOUNDED = {
    (_Recent, "_entries"),
    (_Group, "messages"),
    ("Sharing", "_parts"),
    # Uids that were seen to go, the newest 500.
    ("GarbageCollector", "_absent"),
    ("ResourceClaimController", "_gone"),
}
"""What forgets the oldest when it is full."""
TOLD = ("kplane.api.errors", "kplane.client.transport")
"""Where that is defined which pytest keeps with the log."""
WHOLE_POD = Pod.API.as_type(dict)


def _run_pods(cluster: DiscoverableCluster) -> None:
    """Pods of Jobs end, all others become ready."""
    now = rfc3339(cluster.clock.now())
    for pod in cluster.list(WHOLE_POD):
        if pod.get("status", {}).get("phase", "Pending") != "Pending":
            continue
        done = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", ()))
        ready = {"type": "Ready", "status": "False" if done else "True", "lastTransitionTime": now}
        phase = "Succeeded" if done else "Running"
        cluster.load(pod | {"status": {"phase": phase, "conditions": [ready]}})
    reap(cluster)


async def _round(cluster: DiscoverableCluster, number: int) -> None:
    """200 of each come, work, and go, and so does a namespace; then an hour passes."""
    names = [f"round-{number}-{each}" for each in range(ROUND)]
    cluster.load(make_namespace(f"space-{number}"))
    for name in names:
        labels = {"app": name}
        cluster.load(make_deployment(name, labels=labels), make_service(name, selector=labels))
        cluster.load(make_job(name), make_pod(name, f"space-{number}"))
    for _ in range(4):
        await cluster.clock.advance(20)
        _run_pods(cluster)
    client = cluster.client()
    for name in names:
        await client.delete(Deployment, name, "default", propagation="Foreground")
        await client.delete(Job, name, "default", propagation="Background")
        await client.delete(Service, name, "default")
    await client.delete(Namespace, f"space-{number}")
    for _ in range(12):
        await cluster.clock.advance(300)
        _run_pods(cluster)


def _retained() -> Counter[str]:
    """How many entries all containers of all objects of the library and of controllers have."""
    gc.collect()
    found: Counter[str] = Counter()
    for obj in gc.get_objects():
        kind = type(obj)
        module = str(kind.__module__)
        if not module.startswith("kplane.") or module.startswith(("kplane.testing", *TOLD)):
            continue
        for name, value in _attributes(obj):
            bounded = (kind, name) in BOUNDED or (kind.__name__, name) in BOUNDED
            if isinstance(value, CONTAINERS) and not bounded:
                found[f"{kind.__name__}.{name}"] += len(value)
    for family in REGISTRY.collect():
        found[f"metric {family.name}"] = len(family.samples)
    return found


def _attributes(obj: Any) -> list[tuple[str, Any]]:
    slots = [name for kind in type(obj).__mro__ for name in getattr(kind, "__slots__", ())]
    named = [(name, getattr(obj, name)) for name in slots if hasattr(obj, name)]
    return [*named, *getattr(obj, "__dict__", {}).items()]


@pytest.mark.slow
async def test_what_is_gone_is_forgotten() -> None:
    async with DiscoverableCluster() as cluster:
        manager = Manager(cluster.client(), cluster.clock, cluster.entropy, Config())
        running = asyncio.create_task(manager.run())
        await cluster.clock.advance(60)
        await _round(cluster, 1)
        before = _retained()
        left = [key for key in _left(cluster) if "round" in key]
        await _round(cluster, 2)
        after = _retained()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert left == []
    assert {name: (before[name], count) for name, count in after.items() if count > before[name]} == {}


def _left(cluster: DiscoverableCluster) -> list[str]:
    kinds: tuple[Any, ...] = (Deployment, Job, Service, Pod)
    return [str(each.key) for kind in kinds for each in cluster.list(kind)]
