"""Keep Pods off nodes with taints that they do not tolerate; prefer nodes with few soft ones."""

from __future__ import annotations

import numpy as np

from kplane.api.types import Node, Pod

from ..framework import Filter, On, Score, normalised
from ..pod import PodInfo
from ..table import Mask, NodeTable, Scores
from ..taints import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, TaintSet, tolerates


class TaintToleration(Filter):
    name = "TaintToleration"
    reason = "node(s) had untolerated taint(s)"
    retry_on = (On(Node, "spec.taints"), On(Pod, "spec.tolerations"))

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        def acceptable(taints: TaintSet) -> bool:
            hard = (taint for taint in taints if taint.effect in (NO_SCHEDULE, NO_EXECUTE))
            return all(pod.tolerates(taint) for taint in hard)

        return nodes.by_taints(acceptable, np.bool_)


class TaintTolerationScore(Score):
    name = "TaintToleration"

    def score(self, pod: PodInfo, nodes: NodeTable, feasible: Mask) -> Scores | None:
        # A toleration without effect covers the soft taints too.
        relevant = [entry for entry in pod.tolerations if entry.effect in ("", PREFER_NO_SCHEDULE)]

        def intolerable(taints: TaintSet) -> int:
            soft = (taint for taint in taints if taint.effect == PREFER_NO_SCHEDULE)
            return sum(not tolerates(relevant, taint) for taint in soft)

        return normalised(nodes.by_taints(intolerable, np.float64), feasible, reverse=True)
