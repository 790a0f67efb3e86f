"""Taint eviction: Pods leave tainted nodes at once, in their time, or never."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.core import Taint, Toleration
from kplane.api.types.meta import condition
from kplane.controllers.nodelifecycle import TaintEvictionController
from kplane.controllers.nodelifecycle.tainteviction import tolerated_seconds
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod

from .fleet import pods_on, reasons

TAINT: Object = {"key": "maintenance", "effect": "NoExecute"}
TOLERATE: Object = {"key": "maintenance", "operator": "Exists"}


def run(cluster: FakeCluster) -> None:
    context = cluster.context("taint-eviction-controller")
    cluster.start(context.queue.run(TaintEvictionController(context).reconcile, 4))


def tolerating(name: str, seconds: int | None = None) -> Object:
    own = TOLERATE if seconds is None else TOLERATE | {"tolerationSeconds": seconds}
    return make_pod(name, node="a", tolerations=[own])


def names(cluster: FakeCluster) -> set[str]:
    return {pod.metadata.name for pod in pods_on(cluster, "a")}


def _taint(key: str, value: str = "") -> Taint:
    return Taint(key=key, effect="NoExecute", value=value)


@pytest.mark.parametrize(
    ("tolerations", "want"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([{"key": "a", "value": "x"}], None, id="equal"),
        pytest.param([{"key": "a", "value": "y"}], 0, id="other-value"),
        pytest.param([{"key": "a", "operator": "Exists"}], None, id="exists"),
        pytest.param([{"operator": "Exists"}], None, id="everything"),
        pytest.param([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], 0, id="other-effect"),
        pytest.param([{"operator": "Exists", "toleration_seconds": 30}], 30, id="for-a-time"),
        pytest.param([{"operator": "Exists", "toleration_seconds": -5}], 0, id="negative"),
        pytest.param(
            [{"operator": "Exists"}, {"key": "a", "operator": "Exists", "toleration_seconds": 9}],
            None,
            id="the-first-that-fits-counts",
        ),
    ],
)
def test_tolerated_time(tolerations: list[dict[str, Any]], want: float | None) -> None:
    assert tolerated_seconds([_taint("a", "x")], [Toleration(**entry) for entry in tolerations]) == want


def test_of_several_taints_the_shortest_time_counts() -> None:
    short = Toleration(key="a", operator="Exists", toleration_seconds=5)
    long = Toleration(key="b", operator="Exists", toleration_seconds=50)

    assert tolerated_seconds([_taint("a"), _taint("b")], [short, long]) == 5
    assert tolerated_seconds([_taint("a"), _taint("c")], [short, long]) == 0


async def test_pods_leave_in_their_time(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_pod("now", node="a"), tolerating("later", 60), tolerating("never"))
    run(cluster)
    await cluster.advance(10)
    before = names(cluster)

    cluster.load(make_node("a", taints=[TAINT]))
    await cluster.advance(59)
    soon = names(cluster)
    await cluster.advance(2)

    assert before == {"now", "later", "never"}
    assert soon == {"later", "never"}
    assert names(cluster) == {"never"}


async def test_an_evicted_pod_says_why(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", taints=[TAINT]), make_pod("web", node="a"))
    run(cluster)

    await cluster.settle()

    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    assert pod.metadata.deletion_timestamp is not None
    target = condition(pod.status.conditions, "DisruptionTarget")
    assert target is not None
    assert (target.status, target.reason, target.message) == (
        "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint",
    )  # fmt: skip
    assert reasons(cluster) == [("TaintManagerEviction", "Marking for deletion Pod default/web")]


async def test_a_taint_that_goes_in_time_evicts_nobody(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", taints=[TAINT]), tolerating("web", 60))
    run(cluster)
    await cluster.advance(30)

    cluster.load(make_node("a"))
    await cluster.advance(600)

    assert names(cluster) == {"web"}
    assert reasons(cluster) == [("TaintManagerEviction", "Cancelling deletion of Pod default/web")]


async def test_another_taint_does_not_prolong_the_stay(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", taints=[TAINT]), make_pod("web", node="a", tolerations=[
        {"operator": "Exists", "tolerationSeconds": 60},
    ]))  # fmt: skip
    run(cluster)
    await cluster.advance(40)

    cluster.load(make_node("a", taints=[TAINT, {"key": "more", "effect": "NoExecute"}]))
    await cluster.advance(21)

    assert names(cluster) == set()


async def test_a_pod_bound_to_a_tainted_node_leaves(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", taints=[TAINT]))
    run(cluster)
    await cluster.advance(5)

    cluster.load(make_pod("late", node="a"), make_pod("elsewhere", node="b"))
    await cluster.settle()

    assert names(cluster) == set()
    assert len(pods_on(cluster, "b")) == 1


async def test_taints_against_scheduling_alone_evict_nobody(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", taints=[TAINT | {"effect": "NoSchedule"}]), make_pod("web", node="a"))
    run(cluster)

    await cluster.advance(600)

    assert names(cluster) == {"web"}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_exactly_the_intolerant_leave(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_node("a", taints=[TAINT]), tolerating("never"), tolerating("later", 20))
        cluster.load(*(make_pod(f"web-{number}", node="a") for number in range(5)))
        cluster.faults.fail_next(InternalError("broken"), times=1 + seed)
        cluster.faults.lose_next_answers(times=2, plural="pods")
        run(cluster)
        for _ in range(5):
            await cluster.advance(dice.uniform(0, 5))
            cluster.drop_watches()
        await cluster.advance(600)

        assert names(cluster) == {"never"}
