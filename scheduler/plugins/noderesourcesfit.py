"""A Pod needs its requests free on the node, and a place among the Pods it may run. Emptier nodes are better.

Score: LeastAllocated, the mean over CPU and memory of what would stay free, in percent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kplane.api.types import Node, Pod

from ..framework import BEST, Failure, Filter, On, OnGone, Score
from ..pod import PodInfo
from ..table import Mask, NodeTable, Scores

TOO_MANY_PODS = "Too many pods"


class NodeResourcesFit(Filter):
    name = "NodeResourcesFit"
    retry_on = (
        OnGone(),
        On(Node, "status.allocatable"),
        On(Pod, "spec.containers"),
        On(Pod, "spec.initContainers"),
        On(Pod, "spec.overhead"),
        On(Pod, "spec.resources"),
    )

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        mask: Mask = nodes.pods < nodes.pods_allowed
        for resource, wanted in pod.requests.items():
            column = nodes.resources.get(resource)
            if column is None:
                return nodes.none
            mask &= nodes.allocatable[column] - nodes.requested[column] >= wanted
        return mask

    def failures(self, pod: PodInfo, nodes: NodeTable, failed: Mask) -> Iterator[Failure]:
        yield Failure(TOO_MANY_PODS, failed & (nodes.pods >= nodes.pods_allowed))
        for resource, wanted in pod.requests.items():
            column = nodes.resources.get(resource)
            free = 0 if column is None else nodes.allocatable[column] - nodes.requested[column]
            yield Failure(f"Insufficient {resource}", failed & (free < wanted))

    def curable(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        """A node that would be too small even when empty stays too small."""
        mask = nodes.all.copy()
        for resource, wanted in pod.requests.items():
            column = nodes.resources.get(resource)
            if column is None:
                return nodes.none
            mask &= nodes.allocatable[column] >= wanted
        return mask


class LeastAllocated(Score):
    name = "NodeResourcesFit"

    def score(self, pod: PodInfo, nodes: NodeTable, feasible: Mask) -> Scores | None:
        total = np.zeros(len(nodes.names), np.float64)
        counted = np.zeros(len(nodes.names), np.float64)
        # CPU and memory are the first two resources of the table.
        for column, wanted in enumerate(pod.scoring):
            allocatable = nodes.allocatable[column]
            free = allocatable - nodes.scoring[column] - wanted
            # Floats hold these products exactly enough: the quotient's floor is that of the integers.
            total += np.floor(np.maximum(free, 0) * BEST / np.maximum(allocatable, 1))
            counted += allocatable > 0
        means: Scores = np.floor(total / np.maximum(counted, 1))
        return means
