"""The scheduler under seeded random changes and faults: nothing leaks, nothing is booked twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from kplane.api import quantity
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key
from kplane.api.types import Node, Pod
from kplane.scheduler.scheduler import Scheduler
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod

NODES = 4
STEPS = 120


class Churn:
    """Random changes to a cluster; every Pod asks for one CPU."""

    def __init__(self, cluster: FakeCluster, seed: int) -> None:
        self._cluster = cluster
        self._dice = random.Random(seed)
        self._made = 0

    async def step(self) -> None:
        action = self._dice.choice(
            (self.add_pod, self.add_pod, self.add_pod, self.remove_pod, self.end_pod, self.put_node,
             self.remove_node, self.break_bindings, self.break_watches)
        )  # fmt: skip
        action()
        if self._dice.random() < 0.5:
            await self._cluster.settle()
        if self._dice.random() < 0.3:
            await self._cluster.advance(self._dice.uniform(0, 3))

    def add_pod(self) -> None:
        self._made += 1
        pod = make_pod(f"p{self._dice.randrange(30)}", requests={"cpu": "1"})
        pod["metadata"]["uid"] = f"uid-{self._made}"
        if self._cluster.get(Pod, Key("default", pod["metadata"]["name"])) is None:
            self._cluster.load(pod)

    def remove_pod(self) -> None:
        if pods := self._cluster.list(Pod):
            self._cluster.delete(Pod, self._dice.choice(pods).key)

    def end_pod(self) -> None:
        if pods := [pod for pod in self._cluster.list(Pod) if pod.spec.node_name]:
            pod = self._dice.choice(pods)
            body = make_pod(pod.metadata.name, node=pod.spec.node_name, phase="Succeeded")
            body["metadata"]["uid"] = pod.metadata.uid
            self._cluster.load(body)

    def put_node(self) -> None:
        number = self._dice.randrange(NODES)
        node = make_node(f"n{number}", cpu=str(1 + number), unschedulable=self._dice.random() < 0.2)
        self._cluster.load(node)

    def remove_node(self) -> None:
        if nodes := self._cluster.list(Node):
            self._cluster.delete(Node, self._dice.choice(nodes).key)

    def break_bindings(self) -> None:
        if self._dice.random() < 0.5:
            self._cluster.faults.lose_next_answers(methods=("POST",), plural="pods")
        else:
            error = self._dice.choice((InternalError("boom"), Conflict("busy")))
            self._cluster.faults.fail_next(error, methods=("POST",), plural="pods")

    def break_watches(self) -> None:
        if self._dice.random() < 0.5:
            self._cluster.compact()
        self._cluster.drop_watches()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_the_table_and_the_queue_match_the_cluster(
    cluster: FakeCluster, seed: int
) -> None:
    context = cluster.context()
    scheduler = Scheduler(context.client, context.informers, context.events, cluster.clock, cluster.entropy)
    cluster.start(scheduler.run())
    churn = Churn(cluster, seed)
    for _ in range(STEPS):
        await churn.step()
    # Less than the five minutes after which every Pod is tried again: the right change must have woken it.
    await cluster.advance(90)

    unfinished = [pod for pod in cluster.list(Pod) if not pod.terminal]
    bound = {pod.metadata.uid: pod.spec.node_name for pod in unfinished if pod.spec.node_name}
    waiting = {pod.metadata.uid for pod in unfinished if not pod.spec.node_name}
    assert {entry.pod.uid: entry.node for entry in scheduler.nodes.placements()} == bound
    assert {uid for uid in waiting if uid in scheduler.queue} == waiting
    assert len(scheduler.queue) == len(waiting)
    free = room(cluster.list(Node), Counter(bound.values()))
    assert min(free.values(), default=0) >= 0, "a node is booked twice"
    assert not (waiting and any(free.values())), "a Pod waits although there is room"


def room(nodes: Sequence[Node], used: Counter[str]) -> dict[str, int]:
    """CPUs free on each node that takes Pods."""
    return {
        node.metadata.name: quantity.units(node.status.allocatable["cpu"]) - used[node.metadata.name]
        for node in nodes
        if not node.spec.unschedulable
    }
