"""Metrics of node lifecycle: zones are shown as they are now."""

from __future__ import annotations

from prometheus_client import REGISTRY

from kplane.controllers.nodelifecycle.controller import MONITOR, NodeLifecycleController
from kplane.controllers.nodelifecycle.metrics import observe_zones
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node


def sample(name: str, zone: str) -> float | None:
    return REGISTRY.get_sample_value(f"node_collector_{name}", {"zone": zone})


def test_zones_show_size_and_health_and_go_when_they_are_gone() -> None:
    observe_zones({"east": [True, True, False, True], "west": [False]})
    east = [sample(name, "east") for name in ("zone_size", "zone_health", "unhealthy_nodes_in_zone")]

    observe_zones({"west": [True]})

    assert east == [4, 75, 1]
    assert sample("evictions_total", "west") == 0
    assert sample("zone_size", "east") is None
    assert sample("zone_health", "west") == 100


async def test_looks_at_the_nodes_are_timed(cluster: FakeCluster) -> None:
    before = [timed(name) for name in ("all_nodes", "node")]
    cluster.load(make_node("a"), make_node("b"))
    context = cluster.context("node-lifecycle-controller")

    await NodeLifecycleController(context).reconcile(MONITOR)

    assert [timed("all_nodes") - before[0], timed("node") - before[1]] == [1, 2]


def timed(what: str) -> float:
    return REGISTRY.get_sample_value(f"node_collector_update_{what}_health_duration_seconds_count") or 0.0
