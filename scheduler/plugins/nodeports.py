"""Two Pods cannot take the same port of the same address of a node."""

from __future__ import annotations

from collections.abc import Iterable

from kplane.api.types import Node, Pod

from ..framework import Filter, On, OnGone
from ..pod import ALL_ADDRESSES, HostPort, PodInfo
from ..table import Mask, NodeTable


class NodePorts(Filter):
    name = "NodePorts"
    reason = "node(s) didn't have free ports for the requested pod ports"
    # A name never changes, so this is about nodes that appear.
    retry_on = (OnGone(), On(Node, "metadata.name"), On(Pod, "spec.containers"))

    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        if not pod.host_ports:
            return nodes.all
        mask = nodes.all.copy()
        for wanted in pod.host_ports:
            for row, taken in nodes.holders(wanted.protocol, wanted.port):
                if _conflicts(wanted, taken):
                    mask[row] = False
        return mask

    def curable(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        return nodes.all


def _conflicts(wanted: HostPort, taken: Iterable[HostPort]) -> bool:
    return wanted.ip == ALL_ADDRESSES or any(port.ip in (ALL_ADDRESSES, wanted.ip) for port in taken)
