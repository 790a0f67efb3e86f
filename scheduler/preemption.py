"""Preemption: which Pods of lower priority leave which node, so that one that fits nowhere fits there. Pure.

Reads: the node table, with Pods that are nominated to nodes in their places. Changes nothing in it.
Elsewhere: making them leave (eviction.py), keeping the place free meanwhile (nominations.py).
Source: `framework/preemption` and `plugins/defaultpreemption`.

A node is judged in a table of its own, with nothing but its Pods: filters must depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from kplane.api.clock import Entropy
from kplane.api.selectors import Selector

from .framework import Filter
from .pod import PodInfo
from .registry import Profile
from .table import Mask, NodeTable

MIN_CANDIDATES = 100
MIN_PERCENTAGE = 10
"""How many nodes are looked at: so many, or this part of all, whichever is more."""
LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Budget:
    """What a PodDisruptionBudget still allows."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: frozenset[str] = frozenset()
    """Names of Pods whose disruption it has counted already."""

    def covers(self, pod: PodInfo) -> bool:
        meta = pod.pod.metadata
        return (
            meta.namespace == self.namespace
            and bool(meta.labels)
            and meta.name not in self.disrupted
            and self.selector.matches(meta.labels)
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node on which the Pod fits once the victims, the most important first, have left."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int = field(default=0)
    """How many of them a PodDisruptionBudget would keep."""

    @property
    def cost(self) -> tuple[int, int, int, int, float]:
        """What makes it worse than another, in this order."""
        highest = self.victims[0].priority
        youngest_of_the_highest = min(
            started(victim).timestamp() for victim in self.victims if victim.priority == highest
        )
        # Priorities may be negative: each counts from the lowest one possible.
        total = sum(victim.priority + 2**31 for victim in self.victims)
        return self.violations, highest, total, len(self.victims), -youngest_of_the_highest


def started(pod: PodInfo) -> datetime:
    return pod.pod.status.start_time or LATEST


def best(
    pod: PodInfo,
    nodes: NodeTable,
    curable: Mask,
    profile: Profile,
    budgets: Sequence[Budget],
    entropy: Entropy,
) -> Candidate | None:
    """The node whose victims are missed least; None where no eviction helps. `curable`: the nodes that were
    refused for a reason that evictions could remove."""
    if not nodes.has_lower_priority(pod.priority):
        return None
    wanted = max(MIN_CANDIDATES, len(nodes) * MIN_PERCENTAGE // 100)
    rows = [int(row) for row in np.flatnonzero(curable & nodes.all)]
    if not rows:
        return None
    offset = entropy.choice(range(len(rows)))
    found: list[Candidate] = []
    for row in rows[offset:] + rows[:offset]:
        candidate = victims_on(pod, nodes, nodes.names[row], profile, budgets)
        if candidate is not None:
            found.append(candidate)
        if len(found) >= wanted:
            break
    return min(found, key=lambda candidate: candidate.cost, default=None)


def victims_on(
    pod: PodInfo, nodes: NodeTable, name: str, profile: Profile, budgets: Sequence[Budget]
) -> Candidate | None:
    """The fewest Pods whose leaving makes room on this node; None where all of lower priority are too few."""
    node, present = nodes.node(name), list(nodes.pods_on(name))
    lower = [other for other in present if other.priority < pod.priority]
    if node is None or not lower:
        return None
    alone = NodeTable()
    alone.put_node(node)
    for other in present:
        if other.priority >= pod.priority:
            alone.place(other, name)
    if not _fits(pod, alone, name, profile):
        return None
    victims, violations = list[PodInfo](), 0
    kept_by_budget, others = split(sorted(lower, key=importance), budgets)
    for group, violates in ((kept_by_budget, 1), (others, 0)):
        for other in group:
            alone.place(other, name)
            if not _fits(pod, alone, name, profile):
                alone.remove_pod(other.uid)
                victims.append(other)
                violations += violates
    if not victims:
        return None
    return Candidate(name, tuple(sorted(victims, key=importance)), violations)


def importance(pod: PodInfo) -> tuple[int, datetime]:
    """Orders Pods by how much they would be missed: first by priority, then by how long they run."""
    return -pod.priority, started(pod)


def split(pods: Iterable[PodInfo], budgets: Sequence[Budget]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Those whose eviction breaks a PodDisruptionBudget, and the others; the order stays."""
    left = [budget.allowed for budget in budgets]
    violating, others = list[PodInfo](), list[PodInfo]()
    for pod in pods:
        violates = False
        for index, budget in enumerate(budgets):
            if budget.covers(pod):
                violates |= left[index] <= 0
                left[index] -= 1
        (violating if violates else others).append(pod)
    return violating, others


def _fits(pod: PodInfo, alone: NodeTable, name: str, profile: Profile) -> bool:
    """Whether the filters that evictions can cure let the Pod in; the others have let it in before."""
    row = alone.row(name)
    assert row is not None
    return all(
        bool(plugin.feasible(pod, alone)[row])
        for plugin in profile.filters
        if type(plugin).curable is not Filter.curable
    )
