"""Placement: which nodes a DaemonSet's Pods belong on, and how a Pod is tied to its node.

Owns: upstream's rules of eligibility and the tolerations that daemon Pods get. Plain functions; no I/O.
Elsewhere: binding (the scheduler, which finds one node that fits).

Invariant: what counts is the Pod as it would be created, added tolerations included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from kplane.api.resource import Object
from kplane.api.selectors import Requirement
from kplane.api.types import Node, Pod
from kplane.api.types.apps import DaemonSet
from kplane.api.types.core import Affinity, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration
from kplane.api.types.meta import Part

from ..deployment.template import with_labels
from ..history import POD_LABEL
from ..nodes import tolerates
from ..pods import from_template

GENERATION_LABEL = "pod-template-generation"
GENERATION = "deprecated.daemonset.template.generation"
NODE_NAME = "metadata.name"

_EVERYWHERE: Sequence[tuple[str, str]] = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_ON_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


class Eligibility(NamedTuple):
    """Whether a Pod should be started on a node, and whether one that is there may stay."""

    start: bool
    stay: bool


class _Wanted(Part, frozen=True):
    """What a pod template says about its node."""

    node_name: str = ""
    node_selector: dict[str, str] | None = None
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    host_network: bool = False


@dataclass(frozen=True)
class Placement:
    """The rules of one template, read once."""

    wanted: _Wanted
    tolerations: Sequence[Toleration]

    @classmethod
    def of(cls, ds: DaemonSet) -> Placement:
        wanted = msgspec.convert(ds.spec.template.get("spec") or {}, _Wanted)
        return cls(wanted, [*(wanted.tolerations or ()), *_added(host_network=wanted.host_network)])

    def eligibility(self, node: Node) -> Eligibility:
        if not self._fits(node):
            return Eligibility(start=False, stay=False)
        untolerated = {taint.effect for taint in node.spec.taints if not self._tolerates(taint)}
        start = not untolerated & {"NoSchedule", "NoExecute"}
        return Eligibility(start=start, stay="NoExecute" not in untolerated)

    def _fits(self, node: Node) -> bool:
        wanted, labels = self.wanted, node.metadata.labels
        if wanted.node_name not in ("", node.metadata.name):
            return False
        if not (wanted.node_selector or {}).items() <= labels.items():
            return False
        affinity = wanted.affinity.node_affinity if wanted.affinity else None
        if affinity is None or affinity.required is None:
            return True
        return any(_matches(term, node) for term in affinity.required.node_selector_terms)

    def _tolerates(self, taint: Taint) -> bool:
        return any(tolerates(toleration, taint) for toleration in self.tolerations)


def _matches(term: NodeSelectorTerm, node: Node) -> bool:
    """Whether the node meets all of a term; a term without requirements is met by none."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {NODE_NAME: node.metadata.name}
    return all(_requirement(entry).matches(node.metadata.labels) for entry in term.match_expressions) and all(
        _requirement(entry).matches(fields) for entry in term.match_fields
    )


def _requirement(entry: NodeSelectorRequirement) -> Requirement:
    return Requirement(entry.key, _OPERATORS.get(entry.operator, entry.operator), tuple(entry.values or ()))


def _added(*, host_network: bool) -> list[Toleration]:
    pairs = [*_EVERYWHERE, _ON_HOST_NETWORK] if host_network else _EVERYWHERE
    return [Toleration(key=key, operator="Exists", effect=effect) for key, effect in pairs]


def node_of(pod: Pod) -> str:
    """The node that the Pod is bound to or, before that, tied to; empty if neither."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    if affinity is None or affinity.required is None:
        return ""
    for term in affinity.required.node_selector_terms:
        for field in term.match_fields:
            if field.key == NODE_NAME and field.operator == "In" and len(field.values or ()) == 1:
                return (field.values or ("",))[0]
    return ""


def pod_body(ds: DaemonSet, digest: str, node: str) -> Object:
    """The Pod of this node, made from the template whose revision has this hash."""
    labels = {POD_LABEL: digest}
    if generation := ds.metadata.annotations.get(GENERATION):
        labels[GENERATION_LABEL] = generation
    body = from_template(with_labels(ds.spec.template, labels), ds)
    spec = dict(body["spec"])
    spec["affinity"] = _tied(spec.get("affinity") or {}, node)
    spec["tolerations"] = _with_added(spec.get("tolerations") or [], bool(spec.get("hostNetwork")))
    return {**body, "spec": spec}


def _tied(affinity: Object, node: str) -> Object:
    """The affinity with this one node in place of what the template requires: the node has met that."""
    field = {"key": NODE_NAME, "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    node_affinity = affinity.get("nodeAffinity") or {}
    return {
        **affinity,
        "nodeAffinity": {**node_affinity, "requiredDuringSchedulingIgnoredDuringExecution": required},
    }


def _with_added(own: Iterable[Object], host_network: bool) -> list[Object]:
    """The template's tolerations and those of every daemon Pod, which stand in for ones that tolerate the
    same for some time only: a daemon stays."""
    added: dict[tuple[str, ...], Object] = {
        _tolerated(entry): entry
        for entry in (msgspec.to_builtins(entry) for entry in _added(host_network=host_network))
    }
    merged = [added.get(_tolerated(entry), entry) for entry in own]
    return merged + [entry for entry in added.values() if entry not in merged]


def _tolerated(toleration: Object) -> tuple[str, ...]:
    """What a toleration is about, whatever its time."""
    return tuple(toleration.get(name) or "" for name in ("key", "effect", "operator", "value"))
