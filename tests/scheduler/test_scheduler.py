"""The scheduler against a cluster in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from kplane.api.errors import ApiError, Conflict, InternalError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.meta import condition
from kplane.scheduler.scheduler import UNFINISHED, Scheduler
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod, make_pods

TAINT = {"key": "gpu", "effect": "NoSchedule"}


async def start(cluster: FakeCluster) -> Scheduler:
    context = cluster.context("default-scheduler")
    scheduler = Scheduler(context.client, context.informers, context.events, cluster.clock, cluster.entropy)
    cluster.start(scheduler.run())
    await cluster.settle()
    return scheduler


def node_of(cluster: FakeCluster, name: str = "web") -> str:
    pod = cluster.get(Pod, Key("default", name))
    assert pod is not None
    return pod.spec.node_name


def change(cluster: FakeCluster, obj: Object, edit: Callable[[Object], Any]) -> None:
    """Put a changed object into the cluster, in place of the one it was."""
    edit(obj)
    cluster.load(obj)


def counted(scheduler: Scheduler) -> list[str]:
    """What the table counts: pods and their nodes."""
    return sorted(f"{entry.pod.key.name}@{entry.node}" for entry in scheduler.nodes.placements())


async def test_pods_are_bound_and_told_so(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b", unschedulable=True), make_pod())

    scheduler = await start(cluster)

    assert node_of(cluster) == "a"
    assert [(event.reason, event.message) for event in cluster.events()] == [
        ("Scheduled", "Successfully assigned default/web to a")
    ]
    assert counted(scheduler) == ["web@a"]
    assert len(scheduler.queue) == 0


async def test_a_pod_that_fits_nowhere_says_why(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="1"), make_node("b", taints=[TAINT]), make_pod(requests={"cpu": "2"}))

    await start(cluster)

    message = (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s)."
        " preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    found = condition(pod.status.conditions, "PodScheduled")
    assert found is not None
    assert (found.status, found.reason, found.message) == ("False", "Unschedulable", message)
    assert found.observed_generation == pod.metadata.generation
    event = cluster.events()[0]
    assert (event.type, event.reason, event.message) == ("Warning", "FailedScheduling", message)


async def test_an_unchanged_condition_is_not_written_again(cluster: FakeCluster) -> None:
    cluster.load(make_pod())
    await start(cluster)
    before = cluster.get(Pod, Key("default", "web"))

    await cluster.advance(700)

    assert cluster.get(Pod, Key("default", "web")) == before


@pytest.mark.parametrize(
    ("edit", "bound"),
    [
        pytest.param(lambda node: node["spec"].pop("unschedulable"), True, id="uncordon"),
        pytest.param(lambda node: node["status"].update(conditions=[]), False, id="heartbeat"),
    ],
)
async def test_a_refused_pod_is_bound_once_a_node_changes_to_fit(
    cluster: FakeCluster, edit: Callable[[Object], Any], bound: bool
) -> None:
    node = make_node("a", unschedulable=True)
    cluster.load(node, make_pod())
    await start(cluster)

    change(cluster, node, edit)
    await cluster.settle()

    assert bool(node_of(cluster)) is bound


async def test_a_pod_that_ends_makes_room(cluster: FakeCluster) -> None:
    first = make_pod("first", node="a", requests={"cpu": "4"}, phase="Running")
    cluster.load(make_node("a", cpu="4"), first, make_pod(requests={"cpu": "4"}))
    scheduler = await start(cluster)
    assert node_of(cluster) == ""

    change(cluster, first, lambda pod: pod["status"].update(phase="Succeeded"))
    await cluster.settle()

    assert node_of(cluster) == "a"
    assert counted(scheduler) == ["web@a"]


async def test_pods_spread_without_overbooking_while_the_cache_lags(cluster: FakeCluster) -> None:
    cluster.load(*(make_node(f"n{number}", cpu="2") for number in range(4)))
    scheduler = await start(cluster)
    cluster.load(*make_pods(10, requests={"cpu": "1"}))
    await cluster.settle()

    nodes = [pod.spec.node_name for pod in cluster.list(Pod)]
    assert sorted(map(nodes.count, set(nodes) - {""})) == [2, 2, 2, 2]
    assert nodes.count("") == 2
    assert len(scheduler.queue) == 2


@pytest.mark.parametrize("error", [InternalError("boom"), Conflict("busy"), NotFound("not yet")])
async def test_a_failed_binding_is_undone_and_tried_again(cluster: FakeCluster, error: ApiError) -> None:
    cluster.load(make_node("a"))
    scheduler = await start(cluster)
    cluster.faults.fail_next(error, methods=("POST",), plural="pods")
    cluster.load(make_pod())
    await cluster.settle()
    assert counted(scheduler) == []
    assert node_of(cluster) == ""

    await cluster.advance(2)

    assert node_of(cluster) == "a"
    assert counted(scheduler) == ["web@a"]


async def test_a_binding_whose_answer_was_lost_counts_once(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b"))
    scheduler = await start(cluster)
    cluster.faults.lose_next_answers(methods=("POST",), plural="pods")
    cluster.load(make_pod())

    await cluster.advance(30)

    assert counted(scheduler) == [f"web@{node_of(cluster)}"]
    assert len(scheduler.queue) == 0


async def test_an_old_state_of_a_bound_pod_is_not_scheduled_again(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="1"), make_pod(requests={"cpu": "1"}))
    context = cluster.context("default-scheduler")
    scheduler = Scheduler(context.client, context.informers, context.events, cluster.clock, cluster.entropy)
    cluster.hold_watches()
    await context.client.patch(Pod, "web", "default", {"metadata": {"labels": {"new": "1"}}})
    cluster.start(scheduler.run())
    await cluster.settle()
    await cluster.advance(1)
    assert node_of(cluster) == "a"

    waiting: list[int] = []
    informer = context.informer(Pod, field_selector=UNFINISHED)
    informer.on_change(lambda old, new: waiting.append(len(scheduler.queue)))

    # What the cache hears first is from before the binding.
    cluster.release_watches()
    await cluster.settle()

    assert waiting == [0, 0, 0]
    assert [event.reason for event in cluster.events()] == ["Scheduled"]
    assert counted(scheduler) == ["web@a"]


async def test_a_pod_bound_by_somebody_else_leaves_the_queue(cluster: FakeCluster) -> None:
    pod = make_pod()
    cluster.load(pod)
    scheduler = await start(cluster)
    assert len(scheduler.queue) == 1

    change(cluster, pod, lambda pod: pod["spec"].update(nodeName="elsewhere"))
    await cluster.settle()

    assert len(scheduler.queue) == 0
    assert counted(scheduler) == ["web@elsewhere"]


async def test_a_pod_deleted_while_waiting_leaves_nothing(cluster: FakeCluster) -> None:
    cluster.load(make_pod())
    scheduler = await start(cluster)

    cluster.delete(Pod, Key("default", "web"))
    await cluster.settle()

    assert len(scheduler.queue) == 0
    assert counted(scheduler) == []


async def test_a_namesake_is_a_pod_of_its_own(cluster: FakeCluster) -> None:
    cluster.load(make_node("a", cpu="4"), make_pod(requests={"cpu": "4"}))
    scheduler = await start(cluster)
    second = make_pod(requests={"cpu": "3"})
    second["metadata"]["uid"] = "another"

    cluster.delete(Pod, Key("default", "web"))
    cluster.load(second)
    await cluster.settle()

    assert node_of(cluster) == "a"
    assert [placement.pod.uid for placement in scheduler.nodes.placements()] == ["another"]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"schedulingGates": [{"name": "wait"}]}, id="gated"),
        pytest.param({"schedulerName": "mine"}, id="other-scheduler"),
    ],
)
async def test_some_pods_are_not_for_us_now(cluster: FakeCluster, spec: Object) -> None:
    cluster.load(make_node("a"), make_pod(**spec))

    scheduler = await start(cluster)

    assert node_of(cluster) == ""
    assert len(scheduler.queue) == 0
    assert cluster.events() == []


async def test_a_pod_is_scheduled_when_its_last_gate_opens(cluster: FakeCluster) -> None:
    pod = make_pod(schedulingGates=[{"name": "wait"}])
    cluster.load(make_node("a"), pod)
    await start(cluster)

    change(cluster, pod, lambda pod: pod["spec"].update(schedulingGates=[]))
    await cluster.settle()

    assert node_of(cluster) == "a"


async def test_a_removed_node_takes_no_pods_and_its_pods_stay_known(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b"), make_pod("old", node="a", phase="Running"))
    scheduler = await start(cluster)

    cluster.delete(type(scheduler.nodes.node("a")), Key("", "a"))
    cluster.load(*make_pods(3))
    await cluster.settle()

    assert counted(scheduler) == ["old@a", "web-0@b", "web-1@b", "web-2@b"]


async def test_scheduling_goes_on_after_the_watch_is_lost(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), *make_pods(2))
    scheduler = await start(cluster)

    cluster.compact()
    cluster.drop_watches()
    cluster.load(make_pod("late"))
    await cluster.advance(60)

    assert node_of(cluster, "late") == "a"
    assert counted(scheduler) == ["late@a", "web-0@a", "web-1@a"]
