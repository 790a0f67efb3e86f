"""The table of plug-ins: which are used, in which order, with which weights: upstream's default profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .framework import Filter, Score
from .plugins.nodeaffinity import NamedNodes, NodeAffinity, NodeAffinityScore
from .plugins.nodename import NodeName
from .plugins.nodeports import NodePorts
from .plugins.noderesourcesbalancedallocation import NodeResourcesBalancedAllocation
from .plugins.noderesourcesfit import LeastAllocated, NodeResourcesFit
from .plugins.nodeunschedulable import NodeUnschedulable
from .plugins.tainttoleration import TaintToleration, TaintTolerationScore


@dataclass(frozen=True)
class Profile:
    """How one scheduler name decides. Filters run in order; a node is refused by the first that objects.

    Those whose refusals evictions can cure come last: preemption takes it that the others have agreed."""

    filters: Sequence[Filter]
    scores: Sequence[tuple[Score, int]]
    """Each with its weight."""
    scheduler_name: str = "default-scheduler"


def default_profile() -> Profile:
    return Profile(
        filters=(
            NamedNodes(),
            NodeUnschedulable(),
            NodeName(),
            TaintToleration(),
            NodeAffinity(),
            NodePorts(),
            NodeResourcesFit(),
        ),
        scores=(
            (TaintTolerationScore(), 3),
            (NodeAffinityScore(), 2),
            (LeastAllocated(), 1),
            (NodeResourcesBalancedAllocation(), 1),
        ),
    )
