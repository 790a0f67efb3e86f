"""Pod garbage collection: what nobody else would delete goes, nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.meta import condition
from kplane.controllers.config import Config
from kplane.controllers.podgc import PodGCController, surplus_terminated
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import as_view, make_node, make_pod

GONE = Key("default", "web")


def run(cluster: FakeCluster, **flags: Any) -> None:
    context = cluster.context("pod-garbage-collector-controller", options=Config(**flags))
    cluster.start(context.queue.run(PodGCController(context).reconcile))


def names(cluster: FakeCluster) -> set[str]:
    return {pod.metadata.name for pod in cluster.list(Pod)}


def deleting(cluster: FakeCluster, pod: Object) -> Object:
    times = {"deletionTimestamp": rfc3339(cluster.clock.now()), "deletionGracePeriodSeconds": 30}
    return pod | {"metadata": pod["metadata"] | times}


def finished(name: str, created: str = "2026-01-01T00:00:00Z", reason: str = "") -> Object:
    pod = make_pod(name, node="a", phase="Failed" if reason else "Succeeded")
    pod["status"] |= {"reason": reason} if reason else {}
    return pod | {"metadata": pod["metadata"] | {"creationTimestamp": created}}


async def test_pods_of_a_node_that_is_gone_go_after_the_quarantine(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b"), make_pod(node="a"), make_pod("kept", node="b"))
    run(cluster)
    await cluster.advance(30)
    cluster.delete(Node, Key("", "a"))

    await cluster.advance(45)
    early = names(cluster)
    await cluster.advance(40)

    assert early == {"web", "kept"}
    assert names(cluster) == {"kept"}


async def test_an_orphaned_pod_ends_as_failed_and_says_why(cluster: FakeCluster) -> None:
    pod = make_pod(node="a", ready=True)
    pod["metadata"]["finalizers"] = ["example.com/look"]
    cluster.load(pod)
    run(cluster)

    await cluster.advance(100)

    left = cluster.get(Pod, GONE)
    assert left is not None
    target = condition(left.status.conditions, "DisruptionTarget")
    assert target is not None
    assert (left.status.phase, target.status, target.reason, target.message) == (
        "Failed", "True", "DeletionByPodGC", "PodGC: node no longer exists",
    )  # fmt: skip
    assert left.metadata.deletion_timestamp is not None


async def test_a_node_that_only_the_cache_misses_is_no_reason(cluster: FakeCluster) -> None:
    cluster.load(make_pod(node="a"))
    run(cluster)
    await cluster.advance(1)
    cluster.hold_watches()
    cluster.load(make_node("a"))

    await cluster.clock.advance(300)
    cluster.release_watches()

    assert names(cluster) == {"web"}


async def test_a_node_that_returns_within_the_quarantine_keeps_its_pods(cluster: FakeCluster) -> None:
    cluster.load(make_pod(node="a"))
    run(cluster)
    await cluster.advance(30)
    cluster.load(make_node("a"))
    await cluster.advance(600)
    cluster.delete(Node, Key("", "a"))

    await cluster.advance(30)

    assert names(cluster) == {"web"}


async def test_finished_pods_beyond_the_threshold_go_oldest_first(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), finished("old", "2025-01-01T00:00:00Z"), finished("new"))
    cluster.load(make_pod("running", node="a", phase="Running"))
    run(cluster, terminated_pod_gc_threshold=1)

    await cluster.advance(25)

    assert names(cluster) == {"new", "running"}


def test_evicted_pods_go_before_older_ones() -> None:
    pods = [
        as_view(Pod, finished("old", "2025-01-01T00:00:00Z")),
        as_view(Pod, finished("e", reason="Evicted")),
    ]

    assert [pod.metadata.name for pod in surplus_terminated(pods, 1)] == ["e"]
    assert list(surplus_terminated(pods, 0)) == []


async def test_a_pod_that_was_never_scheduled_does_not_wait_for_a_kubelet(cluster: FakeCluster) -> None:
    cluster.load(deleting(cluster, make_pod()), make_pod("waiting"))
    run(cluster)

    await cluster.advance(25)

    assert names(cluster) == {"waiting"}


@pytest.mark.parametrize(
    ("ready", "tainted", "left"), [(False, True, set()), (True, True, {"web"}), (False, False, {"web"})]
)
async def test_an_out_of_service_node_frees_the_pods_that_are_to_go(
    cluster: FakeCluster, ready: bool, tainted: bool, left: set[str]
) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    cluster.load(make_node("a", ready=ready, taints=[taint] if tainted else []))
    cluster.load(deleting(cluster, make_pod(node="a")), make_pod("staying", node="a"))
    run(cluster)

    await cluster.advance(25)

    assert names(cluster) == left | {"staying"}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_exactly_the_orphans_go(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_node("a"), *(make_pod(f"kept-{number}", node="a") for number in range(3)))
        cluster.load(*(make_pod(f"lost-{number}", node="gone") for number in range(3)))
        run(cluster)
        for _ in range(10):
            cluster.faults.fail_next(InternalError("broken"), times=2, methods=("GET", "PATCH", "DELETE"))
            cluster.faults.lose_next_answers(times=1, plural="pods")
            cluster.drop_watches()
            await cluster.clock.advance(dice.uniform(0, 30))
        cluster.faults.clear()
        await cluster.advance(200)

        assert names(cluster) == {f"kept-{number}" for number in range(3)}


def counted(name: str, namespace: str, reason: str) -> float:
    labels = {"namespace": namespace, "reason": reason}
    return REGISTRY.get_sample_value(f"pod_gc_collector_force_delete_{name}", labels) or 0.0


async def test_an_orphan_that_has_ended_was_not_disrupted(cluster: FakeCluster) -> None:
    pod = make_pod(node="a", phase="Succeeded")
    pod["metadata"]["finalizers"] = ["example.com/look"]
    cluster.load(pod)
    run(cluster)
    await cluster.advance(61)

    held = cluster.get(Pod, GONE)
    assert held is not None
    assert held.metadata.deletion_timestamp is not None
    assert held.status.phase == "Succeeded"
    assert condition(held.status.conditions, "DisruptionTarget") is None


@pytest.mark.parametrize("reason", ["terminated", "out-of-service", "unscheduled", "orphaned"])
async def test_what_goes_is_counted_by_its_reason(cluster: FakeCluster, reason: str) -> None:
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    node = make_node("a", ready=reason != "out-of-service")
    node["spec"] = {"taints": [taint]} if reason == "out-of-service" else {}
    doomed = {
        "terminated": [finished("one"), finished("two")],
        "out-of-service": [deleting(cluster, make_pod("one", node="a"))],
        "unscheduled": [deleting(cluster, make_pod("one"))],
        "orphaned": [make_pod("one", node="b")],
    }[reason]
    before = counted("pods_total", "default", reason)
    cluster.load(node, *doomed)
    run(cluster, terminated_pod_gc_threshold=1)
    await cluster.advance(61)

    assert counted("pods_total", "default", reason) == before + 1


async def test_failures_are_counted(cluster: FakeCluster) -> None:
    before = counted("pod_errors_total", "default", "unscheduled")
    cluster.load(deleting(cluster, make_pod()))
    cluster.faults.fail_next(InternalError("broken"))
    run(cluster)
    await cluster.settle()

    assert counted("pod_errors_total", "default", "unscheduled") == before + 1
