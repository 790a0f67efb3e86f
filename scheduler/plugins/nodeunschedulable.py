"""Keep Pods off cordoned nodes, except Pods that tolerate the cordon taint."""

from __future__ import annotations

from kplane.api.types import Node, Pod

from ..framework import Filter, On
from ..pod import PodInfo
from ..table import Mask, NodeTable
from ..taints import CORDON


class NodeUnschedulable(Filter):
    name = "NodeUnschedulable"
    reason = "node(s) were unschedulable"
    retry_on = (On(Node, "spec.unschedulable"), On(Pod, "spec.tolerations"))

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        if pod.tolerates(CORDON):
            return nodes.all
        return ~nodes.unschedulable
