"""Prefer nodes on which CPU and memory would be used to the same degree."""

from __future__ import annotations

import numpy as np

from ..framework import BEST, Score
from ..pod import PodInfo
from ..requests import CPU, MEMORY
from ..table import Mask, NodeTable, Scores


class NodeResourcesBalancedAllocation(Score):
    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: PodInfo, nodes: NodeTable, feasible: Mask) -> Scores | None:
        wanted = (pod.requests.get(CPU, 0), pod.requests.get(MEMORY, 0))
        # Pods that ask for nothing would all go to the one node that is best balanced already.
        if not any(wanted):
            return None
        cpu, memory = (_fraction(nodes, column, wanted[column]) for column in (0, 1))
        both = (nodes.allocatable[0] > 0) & (nodes.allocatable[1] > 0)
        # Of two values, the standard deviation is half their distance.
        deviation = np.where(both, np.abs(cpu - memory) / 2, 0)
        balance: Scores = np.floor((1 - deviation) * BEST)
        return balance


def _fraction(nodes: NodeTable, column: int, wanted: int) -> Scores:
    used = (nodes.requested[column] + wanted) / np.maximum(nodes.allocatable[column], 1)
    fraction: Scores = np.minimum(used, 1.0)
    return fraction
