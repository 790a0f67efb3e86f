"""The decision: one Pod, all nodes, which is best. A plain function of the table; nothing is changed here.

Elsewhere: what becomes of it (scheduler.py), how a refusal is worded (messages.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kplane.api.clock import Entropy

from . import messages
from .framework import Filter
from .pod import PodInfo
from .registry import Profile
from .table import Mask, NodeTable

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Chosen:
    node: str


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """No node can take the Pod now. Only changes that concern `plugins` can alter that."""

    message: str
    """Whole, as it is where no preemption helps."""
    plugins: frozenset[str]
    why: str
    """Without what preemption could do about it."""
    curable: Mask
    """The nodes on which evicting other Pods might help."""


def decide(pod: PodInfo, nodes: NodeTable, profile: Profile, entropy: Entropy) -> Chosen | Refused:
    """The best node; ties are broken at random, so that equal nodes fill evenly."""
    if not len(nodes):
        plugins = frozenset(plugin.name for plugin in profile.filters)
        return Refused(messages.NO_NODES, plugins, messages.NO_NODES, nodes.none)
    feasible = nodes.all
    for plugin in profile.filters:
        feasible = feasible & plugin.feasible(pod, nodes)
    candidates = np.flatnonzero(feasible)
    if not len(candidates):
        return _refused(pod, nodes, profile.filters)
    if len(candidates) > 1:
        candidates = _best(pod, nodes, profile, feasible, candidates)
    row = candidates[entropy.choice(range(len(candidates)))]
    return Chosen(nodes.names[row])


def _best(pod: PodInfo, nodes: NodeTable, profile: Profile, feasible: Mask, candidates: Rows) -> Rows:
    """Those of the candidate rows that have the highest weighted score."""
    total = np.zeros(len(nodes.names), np.float64)
    for plugin, weight in profile.scores:
        scores = plugin.score(pod, nodes, feasible)
        if scores is not None:
            total += scores * weight
    totals = total[candidates]
    best: Rows = candidates[totals == totals.max()]
    return best


def _refused(pod: PodInfo, nodes: NodeTable, filters: Sequence[Filter]) -> Refused:
    """Go through the filters again, now counting why each node was refused."""
    left = nodes.all.copy()
    curable = nodes.none
    reasons: dict[str, int] = {}
    plugins = set()
    for plugin in filters:
        failed = left & ~plugin.feasible(pod, nodes)
        if not failed.any():
            continue
        plugins.add(plugin.name)
        left &= ~failed
        curable |= failed & plugin.curable(pod, nodes)
        for failure in plugin.failures(pod, nodes, failed):
            count = int(np.count_nonzero(failure.nodes))
            reasons[failure.reason] = reasons.get(failure.reason, 0) + count
    why = messages.unavailable(len(nodes), reasons)
    message = messages.unschedulable(pod, len(nodes), reasons, int(np.count_nonzero(curable)))
    return Refused(message, frozenset(plugins), why, curable)
