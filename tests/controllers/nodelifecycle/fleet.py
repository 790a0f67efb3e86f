"""Nodes whose kubelets renew their Leases under virtual time, until a test silences them."""

from __future__ import annotations

from typing import Any

from kplane.api.clock import rfc3339, rfc3339_micro
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.core import Taint
from kplane.api.types.meta import condition
from kplane.controllers.nodelifecycle import NodeLifecycleController, TaintEvictionController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object

LEASES = "kube-node-lease"
PERIOD = 10.0


class Fleet:
    """The kubelets of `nodes`; those in `silent` do nothing."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.silent: set[str] = set()

    def add(self, *names: str, zone: str = "", **options: Any) -> None:
        for name in names:
            labels = {"topology.kubernetes.io/zone": zone} if zone else {}
            self.cluster.load(make_node(name, labels=labels, **options))
            self.renew(name)
            self.cluster.start(self._beat(name))

    def renew(self, name: str) -> None:
        spec = {"holderIdentity": name, "renewTime": rfc3339_micro(self.cluster.clock.now())}
        self.cluster.load(make_object("coordination.k8s.io/v1", "Lease", name, LEASES, spec=spec))

    def come_back(self, name: str) -> None:
        """The kubelet runs again: it posts its status and renews its Lease."""
        self.silent.discard(name)
        now = rfc3339(self.cluster.clock.now())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        self.set_condition(name, ready | {"lastHeartbeatTime": now, "lastTransitionTime": now})
        self.renew(name)

    def set_condition(self, name: str, entry: Object) -> None:
        node: Object | None = self.cluster.get(Node.API.as_type(dict), Key("", name))
        assert node is not None
        others = [old for old in node["status"]["conditions"] if old["type"] != entry["type"]]
        self.cluster.load(node | {"status": node["status"] | {"conditions": [*others, entry]}})

    def control(self, options: Any = None) -> None:
        """Both controllers, as the manager runs them."""
        for make in (NodeLifecycleController, TaintEvictionController):
            context = self.cluster.context(make.name, options=options)
            controller = make(context)
            self.cluster.start(context.queue.run(controller.reconcile, 4))

    async def _beat(self, name: str) -> None:
        while True:
            await self.cluster.clock.sleep(PERIOD)
            if name not in self.silent and self.cluster.get(Node, Key("", name)):
                self.renew(name)


def taints(cluster: FakeCluster, name: str) -> set[tuple[str, str]]:
    """Key, without its prefix, and effect of a node's taints."""
    return {(taint.key.rpartition("/")[2], taint.effect) for taint in raw_taints(cluster, name)}


def raw_taints(cluster: FakeCluster, name: str) -> tuple[Taint, ...]:
    node = cluster.get(Node, Key("", name))
    assert node is not None
    return node.spec.taints


def shown(cluster: FakeCluster, name: str, kind: str = "Ready") -> tuple[str, str, str]:
    """Status, reason and message of a node's condition."""
    node = cluster.get(Node, Key("", name))
    assert node is not None
    found = condition(node.status.conditions, kind)
    assert found is not None
    return found.status, found.reason, found.message


def pods_on(cluster: FakeCluster, node: str) -> list[Pod]:
    """Those that are not being deleted."""
    pods = cluster.list(Pod)
    return [pod for pod in pods if pod.spec.node_name == node and not pod.metadata.deletion_timestamp]


def reasons(cluster: FakeCluster) -> list[tuple[str, str]]:
    return [(event.reason, event.message) for event in cluster.events()]
