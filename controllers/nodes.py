"""Nodes as controllers see them: ready or not, tainted, in a zone; and the Pods on them. No I/O.

Elsewhere: which taints a node should have (nodelifecycle/taints.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kplane.api.types import Condition, Node, Pod
from kplane.api.types.core import Taint, Toleration
from kplane.api.types.meta import condition
from kplane.client.informer import Informer

NODE_INDEX = "node"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"

_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


def index_by_node(pods: Informer[Pod]) -> None:
    """Make `pods_on` work. Safe to repeat."""
    pods.add_index(NODE_INDEX, lambda pod: [pod.spec.node_name] if pod.spec.node_name else [])


def pods_on(pods: Informer[Pod], node: str) -> Sequence[Pod]:
    return pods.by_index(NODE_INDEX, node)


def ready_condition(node: Node) -> Condition | None:
    return condition(node.status.conditions, "Ready")


def is_ready(node: Node) -> bool:
    found = ready_condition(node)
    return found is not None and found.status == "True"


def zone_of(node: Node) -> str:
    """Region and zone as one key; empty for nodes without either."""
    labels = node.metadata.labels
    region, zone = (
        next((labels[name] for name in names if name in labels), "") for names in (_REGION, _ZONE)
    )
    return f"{region}:\x00:{zone}" if region or zone else ""


def has_taint(node: Node, key: str, effect: str = "") -> bool:
    """Whether the node has such a taint; of any effect where none is given."""
    return any(taint.key == key and effect in ("", taint.effect) for taint in node.spec.taints)


def evicting(taints: Iterable[Taint]) -> list[Taint]:
    """The taints that also concern Pods which run already."""
    return [taint for taint in taints if taint.effect == NO_EXECUTE]


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration covers the taint (core/v1 `Toleration.ToleratesTaint`)."""
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and toleration.value == taint.value
