"""Stories of nodes: the silent one is given up with its Pods, the others are not."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from kplane.api.clock import rfc3339_micro
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.meta import condition
from kplane.controllers.nodettl import ANNOTATION
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object, make_pod

from .kubelets import WHOLE_POD
from .scenario import Scenario

NODES = ["a", "b", "c"]


def _renew(cluster: FakeCluster, name: str) -> None:
    spec = {"holderIdentity": name, "renewTime": rfc3339_micro(cluster.clock.now())}
    cluster.load(make_object("coordination.k8s.io/v1", "Lease", name, "kube-node-lease", spec=spec))


def _beat(cluster: FakeCluster, step: int) -> None:
    """All kubelets renew their Leases; that of c ends at the third step."""
    for name in NODES:
        if name != "c" or step < 3:
            _renew(cluster, name)


def _patient(name: str, node: str) -> Object:
    seconds = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    tolerations = [{"key": f"node.kubernetes.io/{key}", **seconds} for key in ("not-ready", "unreachable")]
    return make_pod(name, node=node, ready=True, tolerations=tolerations)


def _lost(cluster: FakeCluster) -> Any:
    told = {}
    for node in cluster.list(Node):
        ready = condition(node.status.conditions, "Ready")
        assert ready is not None
        told[node.metadata.name] = ready.status, sorted(taint.effect for taint in node.spec.taints)
    going = [pod.metadata.name for pod in cluster.list(Pod) if pod.metadata.deletion_timestamp]
    return told, going


LIFECYCLE = Scenario(
    controllers=["node-lifecycle-controller", "taint-eviction-controller"],
    objects=lambda: [
        *(make_node(name) for name in NODES), *(_patient(f"on-{name}", name) for name in NODES),
    ],
    world=_beat,
    outcome=_lost,
    expected=(
        {"a": ("True", []), "b": ("True", []), "c": ("Unknown", ["NoExecute", "NoSchedule"])}, ["on-c"],
    ),
    steps=14,
    pace=20,
    options=lambda cluster, folder: {"node_monitor_grace_period": 400.0},
)  # fmt: skip

TAINT: Object = {"key": "maintenance", "effect": "NoExecute"}


def _taint(cluster: FakeCluster, step: int) -> None:
    """Node a is tainted; node b too, but not for long enough."""
    if step == 2:
        cluster.load(make_node("a", taints=[TAINT]), make_node("b", taints=[TAINT]))
    if step == 3:
        cluster.load(make_node("b"))


def _tolerant(name: str, node: str, seconds: int | None) -> Object:
    own: Object = {"key": "maintenance", "operator": "Exists"}
    if seconds is not None:
        own["tolerationSeconds"] = seconds
    return make_pod(name, node=node, tolerations=[own])


EVICTION = Scenario(
    controllers=["taint-eviction-controller"],
    objects=lambda: [
        make_node("a"), make_node("b"), make_pod("none", node="a"), _tolerant("some", "a", 30),
        _tolerant("ever", "a", None), _tolerant("lucky", "b", 300),
    ],
    world=_taint,
    outcome=lambda cluster: sorted(
        pod["metadata"]["name"]
        for pod in cluster.list(WHOLE_POD)
        if "deletionTimestamp" in pod["metadata"]
    ),
    expected=["none", "some"],
)  # fmt: skip


def _grow(cluster: FakeCluster, step: int) -> None:
    if step < 3:
        cluster.load(make_node(f"more-{step}"))
    if step == 4:
        cluster.delete(Node, Key("", "more-0"))


def _cidrs(cluster: FakeCluster) -> Any:
    ranges = [node.spec.pod_cidr for node in cluster.list(Node)]
    return len(ranges), len(set(ranges)), all(ranges)


IPAM = Scenario(
    controllers=["node-ipam-controller"],
    objects=lambda: [make_node("a"), make_node("b")],
    world=_grow,
    outcome=_cidrs,
    expected=(4, 4, True),
    options=lambda cluster, folder: {
        "allocate_node_cidrs": True,
        "cluster_cidrs": [ip_network("10.244.0.0/16")],
    },
)

NODE_TTL = Scenario(
    controllers=["ttl-controller"],
    objects=lambda: [make_node("a"), make_node("b")],
    world=_grow,
    outcome=lambda cluster: {node.metadata.annotations.get(ANNOTATION) for node in cluster.list(Node)},
    expected={"0"},
)

STORIES = {
    "node lifecycle": LIFECYCLE,
    "taint eviction": EVICTION,
    "node ranges": IPAM,
    "node ttl": NODE_TTL,
}
