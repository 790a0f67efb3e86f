"""A Pod that names its node goes there and nowhere else."""

from __future__ import annotations

from kplane.api.types import Node

from ..framework import Filter, On
from ..pod import PodInfo
from ..table import Mask, NodeTable


class NodeName(Filter):
    name = "NodeName"
    reason = "node(s) didn't match the requested node name"
    retry_on = (On(Node, "metadata.name"),)

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        wanted = pod.pod.spec.node_name
        if not wanted:
            return nodes.all
        mask = nodes.none
        if (row := nodes.row(wanted)) is not None:
            mask[row] = True
        return mask
