"""Node lifecycle: who is silent is found out in time, who is not is left alone."""

from __future__ import annotations

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import InternalError
from kplane.api.resource import Key
from kplane.api.types import Node, Pod
from kplane.api.types.meta import condition
from kplane.controllers.config import Config
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod

from .fleet import Fleet, pods_on, raw_taints, reasons, shown, taints

UNREACHABLE = {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}
STOPPED = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")


@pytest.fixture
def fleet(cluster: FakeCluster) -> Fleet:
    return Fleet(cluster)


async def test_a_silent_node_is_marked_after_the_grace_period(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b", "c")
    fleet.control()
    await cluster.advance(30)
    fleet.silent.add("a")

    await cluster.advance(45)
    early = shown(cluster, "a")[0]
    await cluster.advance(15)

    assert early == "True"
    assert shown(cluster, "a") == STOPPED
    assert shown(cluster, "a", "MemoryPressure") == (
        "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.",
    )  # fmt: skip
    assert shown(cluster, "b")[0] == "True"


async def test_pods_of_a_silent_node_go_and_a_node_that_comes_back_is_clean(
    cluster: FakeCluster, fleet: Fleet
) -> None:
    fleet.add("a", "b", "c")
    cluster.load(make_pod("gone", node="a", ready=True), make_pod("kept", node="b", ready=True))
    fleet.control()
    fleet.silent.add("a")

    await cluster.advance(50)
    early = pods_on(cluster, "a")
    await cluster.advance(15)
    late, tainted, others = pods_on(cluster, "a"), taints(cluster, "a"), taints(cluster, "b")
    fleet.come_back("a")
    await cluster.advance(10)

    assert [pod.metadata.name for pod in early] == ["gone"]
    assert (late, tainted, others) == ([], UNREACHABLE, set())
    assert taints(cluster, "a") == set()
    assert shown(cluster, "a")[0] == "True"
    assert [pod.metadata.name for pod in pods_on(cluster, "b")] == ["kept"]


async def test_pods_of_a_silent_node_are_not_ready(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a")
    cluster.load(make_pod("web", node="a", ready=True))
    fleet.control()
    fleet.silent.add("a")

    await cluster.advance(60)

    pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    assert not pod.ready
    told = reasons(cluster)
    assert ("NodeNotReady", "Node is not ready") in told
    assert ("NodeNotReady", "Node a status is now: NodeNotReady") in told


async def test_nodes_that_come_and_go_are_told(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b")
    fleet.control()
    await cluster.advance(1)
    cluster.delete(Node, Key("", "b"))
    await cluster.advance(6)

    assert reasons(cluster) == [
        ("RegisteredNode", "Node a event: Registered Node a in Controller"),
        ("RegisteredNode", "Node b event: Registered Node b in Controller"),
        ("RemovingNode", "Node b event: Removing Node b from Controller"),
    ]


async def test_a_node_that_never_reported_is_unknown_after_a_minute(cluster: FakeCluster) -> None:
    node = make_node("new")
    node["status"]["conditions"] = []
    cluster.load(node)
    Fleet(cluster).control()

    await cluster.advance(58)
    conditions = cluster.list(Node)[0].status.conditions
    await cluster.advance(10)

    assert conditions == ()
    assert shown(cluster, "new") == (
        "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "taint"),
    [
        ({"type": "Ready", "status": "False"}, "not-ready"),
        ({"type": "MemoryPressure", "status": "True"}, "memory-pressure"),
        ({"type": "DiskPressure", "status": "True"}, "disk-pressure"),
        ({"type": "PIDPressure", "status": "True"}, "pid-pressure"),
        ({"type": "NetworkUnavailable", "status": "True"}, "network-unavailable"),
    ],
)
async def test_conditions_become_taints_and_go_with_them(
    cluster: FakeCluster, fleet: Fleet, entry: dict[str, str], taint: str
) -> None:
    fleet.add("a")
    fleet.control()
    await cluster.advance(1)

    fleet.set_condition("a", entry)
    await cluster.settle()
    tainted = raw_taints(cluster, "a")
    fleet.set_condition("a", entry | {"status": "True" if entry["type"] == "Ready" else "False"})
    await cluster.settle()

    assert [(found.key, found.effect) for found in tainted] == [(f"node.kubernetes.io/{taint}", "NoSchedule")]
    assert tainted[0].time_added is not None
    assert taints(cluster, "a") == set()


async def test_cordoned_nodes_are_tainted_and_taints_of_others_stay(cluster: FakeCluster) -> None:
    own = {"key": "team", "value": "blue", "effect": "NoSchedule"}
    cluster.load(make_node("a", taints=[own], unschedulable=True))
    Fleet(cluster).control()

    await cluster.advance(1)

    assert taints(cluster, "a") == {("team", "NoSchedule"), ("unschedulable", "NoSchedule")}
    assert raw_taints(cluster, "a")[0].value == "blue"


async def test_the_older_labels_follow_the_newer_ones(cluster: FakeCluster) -> None:
    new = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "amd64"}
    cluster.load(make_node("a", labels=new))
    Fleet(cluster).control()

    await cluster.advance(1)

    labels = cluster.list(Node)[0].metadata.labels
    assert (labels["beta.kubernetes.io/os"], labels["beta.kubernetes.io/arch"]) == ("linux", "arm64")


async def test_a_node_that_says_that_it_is_not_ready_is_given_up(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b")
    cluster.load(make_pod("web", node="a"))
    fleet.control()
    await cluster.advance(20)

    fleet.set_condition("a", {"type": "Ready", "status": "False", "reason": "KubeletNotReady"})
    await cluster.advance(6)

    assert taints(cluster, "a") == {("not-ready", "NoSchedule"), ("not-ready", "NoExecute")}
    assert pods_on(cluster, "a") == []


async def test_a_not_ready_node_that_falls_silent_swaps_its_taint(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b")
    fleet.control()
    fleet.set_condition("a", {"type": "Ready", "status": "False"})
    await cluster.advance(20)
    fleet.silent.add("a")

    await cluster.advance(65)

    assert taints(cluster, "a") == UNREACHABLE


async def test_nodes_of_a_zone_are_given_up_one_after_the_other(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add(*(f"n{number}" for number in range(7)))
    fleet.control()
    fleet.silent |= {"n0", "n1", "n2"}

    await cluster.advance(62)
    first = sum(("unreachable", "NoExecute") in taints(cluster, f"n{number}") for number in range(7))
    await cluster.advance(20)

    assert first == 1
    assert sum(("unreachable", "NoExecute") in taints(cluster, f"n{number}") for number in range(7)) == 3


async def test_a_small_zone_that_is_mostly_silent_is_not_given_up(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b", "c", "d")
    fleet.control()
    fleet.silent |= {"a", "b", "c"}

    await cluster.advance(600)

    assert taints(cluster, "a") == {("unreachable", "NoSchedule")}


async def test_when_all_zones_are_silent_nobody_is_given_up(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", zone="east")
    fleet.add("b", zone="west")
    cluster.load(make_pod("web", node="a"))
    fleet.control()
    fleet.silent.add("a")
    await cluster.advance(64)
    one = taints(cluster, "a")
    fleet.silent.add("b")

    await cluster.advance(64)

    assert one == UNREACHABLE
    assert taints(cluster, "a") == taints(cluster, "b") == {("unreachable", "NoSchedule")}


async def test_healthy_nodes_are_never_touched(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b", "c")
    fleet.control()
    await cluster.advance(5)
    before = [node.metadata.resource_version for node in cluster.list(Node)]

    await cluster.advance(600)

    assert [node.metadata.resource_version for node in cluster.list(Node)] == before


async def test_a_controller_that_starts_with_old_leases_waits_for_new_ones(
    cluster: FakeCluster, fleet: Fleet
) -> None:
    fleet.add("a", "b")
    fleet.silent |= {"a", "b"}
    await cluster.advance(600)
    before = [node.metadata.resource_version for node in cluster.list(Node)]

    fleet.control()
    await cluster.advance(40)
    fleet.silent.clear()
    await cluster.advance(600)

    assert [node.metadata.resource_version for node in cluster.list(Node)] == before


@pytest.mark.parametrize("seconds", [20, 60, 300])
async def test_an_outage_of_the_api_server_is_no_silence(
    cluster: FakeCluster, fleet: Fleet, seconds: int
) -> None:
    fleet.add("a", "b", "c")
    fleet.control()
    await cluster.advance(35)
    before = [node.metadata.resource_version for node in cluster.list(Node)]

    fleet.silent |= {"a", "b", "c"}
    for _ in range(seconds):
        cluster.faults.fail_next(times=50, methods=("GET", "PATCH", "WATCH"))
        cluster.drop_watches()
        await cluster.clock.advance(1)
    cluster.faults.clear()
    # Kubelets find their way back somewhat later than the controllers.
    await cluster.advance(15)
    fleet.silent.clear()
    await cluster.advance(600)

    assert [node.metadata.resource_version for node in cluster.list(Node)] == before


async def test_a_lagging_cache_gives_nobody_up(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b")
    fleet.control()
    await cluster.advance(15)
    before = [node.metadata.resource_version for node in cluster.list(Node)]

    cluster.hold_watches()
    await cluster.clock.advance(600)
    cluster.release_watches()
    await cluster.advance(60)

    assert [node.metadata.resource_version for node in cluster.list(Node)] == before


async def test_flags_set_the_pace(cluster: FakeCluster, fleet: Fleet) -> None:
    fleet.add("a", "b")
    fleet.control(Config(node_monitor_grace_period=20, node_monitor_period=2))
    fleet.silent.add("a")

    await cluster.advance(25)

    assert taints(cluster, "a") == UNREACHABLE


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_the_silent_are_given_up_and_the_others_are_not(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        fleet = Fleet(cluster)
        fleet.add(*"abcdef")
        cluster.load(*(make_pod(f"web-{name}", node=name, ready=True) for name in "abcdef"))
        fleet.control()
        fleet.silent |= {"a", "b"}
        for _ in range(30):
            _break_something(cluster, dice)
            await cluster.clock.advance(dice.uniform(0, 8))
        cluster.faults.clear()
        await cluster.advance(300)
        given_up = {name: taints(cluster, name) for name in "abcdef" if taints(cluster, name)}
        left = {pod.spec.node_name for pod in cluster.list(Pod) if not pod.metadata.deletion_timestamp}
        fleet.come_back("a")
        fleet.come_back("b")
        await cluster.advance(60)

        assert given_up == {"a": UNREACHABLE, "b": UNREACHABLE}
        assert left == set("cdef")
        assert all(condition(node.status.conditions, "Ready") for node in cluster.list(Node))
        assert [taints(cluster, name) for name in "abcdef"] == [set()] * 6


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "lose", "drop", "quiet"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=3)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2)
    elif kind == "drop":
        cluster.drop_watches()


async def test_a_new_controller_finishes_what_its_predecessor_began(
    cluster: FakeCluster, fleet: Fleet
) -> None:
    fleet.add("a", "b")
    fleet.silent.add("a")
    fleet.set_condition("a", {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"})
    stays = {"operator": "Exists"}
    cluster.load(make_pod("stays", node="a", ready=True, tolerations=[stays]), make_pod("goes", node="a"))

    fleet.control()
    await cluster.advance(15)

    assert taints(cluster, "a") == UNREACHABLE
    assert [(pod.metadata.name, pod.ready) for pod in pods_on(cluster, "a")] == [("stays", False)]
