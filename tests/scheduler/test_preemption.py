"""Which Pods have to leave for one that fits nowhere, and what becomes of them and of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.selectors import parse_labels
from kplane.api.types import Pod
from kplane.api.types.meta import condition
from kplane.scheduler.decision import Refused, decide
from kplane.scheduler.pod import PodInfo, describe
from kplane.scheduler.preemption import Budget, Candidate, best
from kplane.scheduler.registry import default_profile
from kplane.scheduler.table import NodeTable
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod

from .support import pod_view, table_of
from .test_scheduler import node_of, start

PROFILE = default_profile()


def info(name: str, priority: int = 0, cpu: str = "1", *, hour: int = 0, **options: Any) -> PodInfo:
    began = datetime(2026, 1, 1, hour, tzinfo=UTC).isoformat()
    status = {"phase": "Running", "startTime": began}
    found = make_pod(name, requests={"cpu": cpu}, priority=priority, **options)
    found["status"] = status
    return describe(pod_view(found))


def table(**placed: list[PodInfo]) -> NodeTable:
    nodes = table_of(*(make_node(name, cpu="2") for name in placed))
    for name, found in placed.items():
        for one in found:
            nodes.place(one, name)
    return nodes


def preempted(pod: PodInfo, nodes: NodeTable, *budgets: Budget) -> Candidate | None:
    verdict = decide(pod, nodes, PROFILE, Entropy(0))
    assert isinstance(verdict, Refused)
    before = sorted(entry.pod.uid for entry in nodes.placements())
    found = best(pod, nodes, verdict.curable, PROFILE, budgets, Entropy(0))
    assert sorted(entry.pod.uid for entry in nodes.placements()) == before
    return found


def leaving(found: Candidate | None) -> tuple[str, list[str]] | None:
    return None if found is None else (found.node, [victim.key.name for victim in found.victims])


def test_no_more_leave_than_must_and_the_least_important_first() -> None:
    nodes = table(a=[info("low", 1), info("middle", 5)])

    assert leaving(preempted(info("high", 10), nodes)) == ("a", ["low"])


@pytest.mark.parametrize(
    ("placed", "node"),
    [
        pytest.param({"a": [info("x", 5, "2")], "b": [info("y", 1, "2")]}, "b", id="lowest-priority"),
        pytest.param({"a": [info("x", 1), info("y", 1)], "b": [info("z", 1, "2")]}, "b", id="fewest"),
        pytest.param(
            {"a": [info("x", 1, "2", hour=1)], "b": [info("y", 1, "2", hour=9)]}, "b", id="latest-started"
        ),
    ],
)
def test_node_whose_pods_are_missed_least_is_chosen(placed: dict[str, list[PodInfo]], node: str) -> None:
    found = preempted(info("high", 10, "2"), table(**placed))

    assert found is not None
    assert found.node == node


@pytest.mark.parametrize(
    ("pod", "placed"),
    [
        pytest.param(info("high", 10, "3"), [info("x", 1, "2")], id="node-too-small"),
        pytest.param(info("equal", 1, "2"), [info("x", 1, "2")], id="equal-priority"),
        pytest.param(info("high", 10, "2"), [info("x", 20), info("y", 1)], id="the-others-stay"),
    ],
)
def test_nobody_leaves_for_nothing(pod: PodInfo, placed: list[PodInfo]) -> None:
    assert preempted(pod, table(a=placed)) is None


def test_budgets_are_broken_only_where_nothing_else_helps() -> None:
    guarded = Budget("default", parse_labels("app=guarded"), allowed=0)
    nodes = table(
        a=[info("x", 1, "2", labels={"app": "guarded"})], b=[info("y", 5, "2", labels={"app": "free"})]
    )

    assert leaving(preempted(info("high", 10, "2"), nodes, guarded)) == ("b", ["y"])
    alone = table(a=[info("x", 1, "2", labels={"app": "guarded"})])
    found = preempted(info("high", 10, "2"), alone, guarded)
    assert (leaving(found), found and found.violations) == (("a", ["x"]), 1)


def bound(name: str, priority: int, node: str = "a") -> Object:
    """A Pod that runs; without a kubelet it stays, once deleted, until the test removes it."""
    return make_pod(name, node=node, phase="Running", requests={"cpu": "2"}, priority=priority)


def leaves(cluster: FakeCluster, name: str) -> bool:
    pod = cluster.get(Pod, Key("default", name))
    return pod is not None and pod.metadata.deletion_timestamp is not None


def waiting(name: str, priority: int, **options: Any) -> Object:
    return make_pod(name, requests={"cpu": "2"}, priority=priority, **options)


async def test_victim_is_told_deleted_and_followed(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="2"), bound("low", 1), waiting("web", 10))

    await start(cluster)

    victim = cluster.get(Pod, Key("default", "low"))
    assert victim is not None
    assert victim.metadata.deletion_timestamp is not None
    told = condition(victim.status.conditions, "DisruptionTarget")
    assert told is not None
    assert (told.status, told.reason) == ("True", "PreemptionByScheduler")
    assert told.message == "default-scheduler: preempting to accommodate a higher priority pod"
    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    assert pod.status.nominated_node_name == "a"
    why = condition(pod.status.conditions, "PodScheduled")
    assert why is not None
    assert why.message == "0/1 nodes are available: 1 Insufficient cpu."
    events = {event.reason: event.message for event in cluster.events()}
    assert events["Preempted"] == f"Preempted by pod {pod.metadata.uid} on node a"

    cluster.delete(Pod, Key("default", "low"))
    await cluster.clock.advance_until(lambda: node_of(cluster) == "a", limit=3)


async def test_place_is_kept_from_less_important_pods_until_it_is_taken(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="2"), bound("low", 1), waiting("web", 10))
    await start(cluster)
    cluster.load(waiting("sneaky", 5))
    await cluster.settle()

    cluster.delete(Pod, Key("default", "low"))
    await cluster.clock.advance_until(lambda: node_of(cluster) == "a", limit=5)
    assert node_of(cluster, "sneaky") == ""


async def test_waiting_for_victims_evicts_nobody_else(cluster: FakeCluster) -> None:
    cluster.load(
        make_node("a", cpu="2"), make_node("b", cpu="2"),
        bound("low", 1, "a"), bound("other", 2, "b"), waiting("web", 10),
    )  # fmt: skip
    await start(cluster)
    # A new attempt, for a reason of its own.
    cluster.load(make_node("c", cpu="1"))
    await cluster.advance(5)

    assert (leaves(cluster, "low"), leaves(cluster, "other")) == (True, False)


async def test_pod_that_never_preempts_waits(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="2"), bound("low", 1), waiting("web", 10, preemptionPolicy="Never"))

    await start(cluster)

    assert not leaves(cluster, "low")


async def test_victim_that_cannot_be_deleted_is_tried_again(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="2"), bound("low", 1), waiting("web", 10))
    cluster.faults.fail_next(InternalError("boom"), methods=("DELETE",), plural="pods")

    await start(cluster)

    await cluster.clock.advance_until(lambda: leaves(cluster, "low"), limit=5)
