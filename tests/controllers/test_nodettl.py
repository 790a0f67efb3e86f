"""Kubelets of larger clusters keep Secrets for longer."""

from __future__ import annotations

import pytest

from kplane.api.errors import InternalError
from kplane.api.types import Node
from kplane.controllers.nodettl import ANNOTATION, NodeTTLController, next_step
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node


@pytest.mark.parametrize(
    ("before", "nodes", "after"),
    [(0, 100, 0), (0, 101, 1), (1, 95, 1), (1, 89, 0), (0, 5000, 4), (4, 1799, 3), (4, 1, 0)],
)
def test_the_step_follows_the_size_with_some_play(before: int, nodes: int, after: int) -> None:
    assert next_step(before, nodes) == after


async def test_nodes_are_told_and_again_when_the_cluster_has_grown(cluster: FakeCluster) -> None:
    cluster.load(make_node("first"))
    cluster.faults.fail_next(InternalError("broken"), times=2)
    context = cluster.context()
    cluster.start(context.queue.run(NodeTTLController(context).reconcile))
    await cluster.advance(5)
    small = cluster.list(Node)[0].metadata.annotations[ANNOTATION]
    cluster.load(*(make_node(f"node-{number}") for number in range(100)))
    await cluster.settle()
    cluster.load(make_node("first", ready=False))
    await cluster.settle()
    assert small == "0"
    told = {node.metadata.name: node.metadata.annotations[ANNOTATION] for node in cluster.list(Node)}
    assert told["first"] == "15"
