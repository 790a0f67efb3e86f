"""nodeSelector and node affinity: required terms decide, preferred terms add weight.

Terms are alternatives; within a term everything must hold; an empty term matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from kplane.api.types import Node, Pod
from kplane.api.types.core import NodeSelectorRequirement, NodeSelectorTerm

from ..framework import Filter, On, Score, normalised
from ..pod import PodInfo
from ..table import Mask, NodeTable, Scores

_INTEGER = re.compile(r"[-+]?[0-9]{1,19}").fullmatch


class NodeAffinity(Filter):
    name = "NodeAffinity"
    reason = "node(s) didn't match Pod's node affinity/selector"
    retry_on = (
        On(Node, "metadata.labels"),
        On(Pod, "spec.nodeSelector"),
        On(Pod, "spec.affinity"),
    )

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        selector = pod.pod.spec.node_selector
        if not selector and pod.required is None:
            return nodes.all
        mask = nodes.all.copy()
        for key, value in selector.items():
            mask &= nodes.labels.among(key, (value,))
        if pod.required is not None:
            mask &= _any_term(pod.required.node_selector_terms, nodes)
        return mask


class NamedNodes(Filter):
    """Where every required term names its nodes (DaemonSets do so), no other node is looked at."""

    name = "NodeAffinity"
    reason = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
    retry_on = NodeAffinity.retry_on

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        terms = pod.required.node_selector_terms if pod.required is not None else ()
        if not terms or not all(_names_nodes(term) for term in terms):
            return nodes.all
        mask = nodes.none
        for term in terms:
            named = nodes.all.copy()
            for requirement in term.match_fields:
                if requirement.operator == "In":
                    named &= _field(requirement, nodes)
            mask |= named
        return mask


class NodeAffinityScore(Score):
    name = "NodeAffinity"

    def score(self, pod: PodInfo, nodes: NodeTable, feasible: Mask) -> Scores | None:
        if not pod.preferred:
            return None
        total = np.zeros(len(nodes.names), np.float64)
        for term in pod.preferred:
            total += term.weight * _term(term.preference, nodes, if_empty=True)
        return normalised(total, feasible)


def _names_nodes(term: NodeSelectorTerm) -> bool:
    return any(entry.key == "metadata.name" and entry.operator == "In" for entry in term.match_fields)


def _any_term(terms: Sequence[NodeSelectorTerm], nodes: NodeTable) -> Mask:
    mask = nodes.none
    for term in terms:
        mask |= _term(term, nodes, if_empty=False)
    return mask


def _term(term: NodeSelectorTerm, nodes: NodeTable, *, if_empty: bool) -> Mask:
    """Nodes for which the whole term holds. An empty term matches all nodes when it is a preference, and
    none when it is a requirement."""
    if not term.match_expressions and not term.match_fields:
        return nodes.all if if_empty else nodes.none
    mask = nodes.all.copy()
    for requirement in term.match_expressions:
        mask &= _expression(requirement, nodes)
    for requirement in term.match_fields:
        mask &= _field(requirement, nodes)
    return mask


def _expression(requirement: NodeSelectorRequirement, nodes: NodeTable) -> Mask:
    labels, key, values = nodes.labels, requirement.key, requirement.values or ()
    match requirement.operator:
        case "In":
            return labels.among(key, values)
        case "NotIn":
            return ~labels.among(key, values)
        case "Exists":
            return labels.having(key)
        case "DoesNotExist":
            return ~labels.having(key)
        case "Gt" | "Lt" if len(values) == 1 and _INTEGER(values[0]):
            return _compare(requirement.operator, key, int(values[0]), nodes)
    return nodes.none


def _compare(operator: str, key: str, bound: int, nodes: NodeTable) -> Mask:
    def holds(value: str) -> bool:
        if not _INTEGER(value):
            return False
        return int(value) > bound if operator == "Gt" else int(value) < bound

    return nodes.labels.where(key, holds)


def _field(requirement: NodeSelectorRequirement, nodes: NodeTable) -> Mask:
    """`metadata.name` is the only field that nodes can be selected by."""
    mask = nodes.none
    if requirement.key != "metadata.name" or requirement.operator not in ("In", "NotIn"):
        return mask
    for name in requirement.values or ():
        if (row := nodes.row(name)) is not None:
            mask[row] = True
    return mask if requirement.operator == "In" else ~mask
