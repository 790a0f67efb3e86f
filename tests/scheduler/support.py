"""Builders of what the scheduler's parts take: views and tables from the plain objects of kplane.testing."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Object
from kplane.api.types import Node, Pod
from kplane.client.codec import codec, encode
from kplane.scheduler.pod import PodInfo, describe
from kplane.scheduler.table import Mask, NodeTable
from kplane.testing.objects import make_node, make_pod


def node_view(obj: Object) -> Node:
    return codec(Node).one(encode(obj))


def pod_view(obj: Object) -> Pod:
    return codec(Pod).one(encode(obj))


def pod_info(name: str = "web", **options: Any) -> PodInfo:
    return describe(pod_view(make_pod(name, **options)))


def table_of(*nodes: Object) -> NodeTable:
    table = NodeTable()
    for node in nodes:
        table.put_node(node_view(node))
    return table


def three_nodes(**of_the_first: Any) -> NodeTable:
    """a, b and c; keywords describe a."""
    return table_of(make_node("a", **of_the_first), make_node("b"), make_node("c"))


def named(table: NodeTable, mask: Mask) -> set[str]:
    """The nodes of a mask."""
    return {name for name, chosen in zip(table.names, mask & table.all, strict=True) if chosen}
