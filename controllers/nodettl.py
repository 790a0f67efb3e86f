"""Node TTL controller: for how long kubelets may keep Secrets and ConfigMaps, longer in larger clusters.

Reads: Nodes, from an informer cache. Writes: the annotation `node.alpha.kubernetes.io/ttl` of Nodes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kplane.api.errors import NotFound
from kplane.api.resource import Key
from kplane.api.types import Node
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

log = logging.getLogger(__name__)

ANNOTATION = "node.alpha.kubernetes.io/ttl"


@dataclass(frozen=True)
class Step:
    """Clusters of this many nodes, and the seconds that they get. Steps overlap, so that a cluster whose size
    changes a little keeps its step."""

    least: int
    most: int
    seconds: int


STEPS = (Step(0, 100, 0), Step(90, 500, 15), Step(450, 1000, 30), Step(900, 2000, 60), Step(1800, 2**31, 300))


def next_step(step: int, nodes: int) -> int:
    """The step of a cluster of so many nodes that was on `step` before."""
    while nodes > STEPS[step].most:
        step += 1
    while nodes < STEPS[step].least:
        step -= 1
    return step


class NodeTTLController:
    name = "ttl-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._queue = ctx.queue
        self._step = 0
        self._nodes = ctx.informer(Node)
        self._nodes.on_change(self._node_changed)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        """Other nodes are told when they next say something of themselves: not all at the same moment."""
        if new is not None:
            self._queue.add(new.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        node = self._nodes.get(key)
        if node is None:
            return None
        self._step = next_step(self._step, len(self._nodes.list()))
        wanted = str(STEPS[self._step].seconds)
        if node.metadata.annotations.get(ANNOTATION) == wanted:
            return None
        try:
            await self._client.patch(Node, key.name, "", {"metadata": {"annotations": {ANNOTATION: wanted}}})
        except NotFound:
            return None
        log.info("set ttl key=%s seconds=%s", key, wanted)
        return None
