"""Taint eviction: Pods that do not tolerate a NoExecute taint of their node are deleted.

Reads: Pods and Nodes, from informer caches.
Writes: the condition DisruptionTarget of Pods, then deletes them.
Elsewhere: who taints (controller.py, and people).

Invariant: the time that a Pod may stay begins when its eviction is first planned, and does not begin anew
while the node stays tainted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.resource import Key
from kplane.api.types import Node, Pod
from kplane.api.types.core import Taint, Toleration
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..ending import Cause, disrupted_status, end
from ..nodes import evicting, index_by_node, pods_on, tolerates
from .metrics import evicted_pods, eviction_seconds

log = logging.getLogger(__name__)

CAUSE = Cause("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")


def tolerated_seconds(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """How long a Pod may stay beside these taints: 0 if it does not tolerate one of them, None for ever."""
    shortest: float | None = None
    for taint in taints:
        used = next((entry for entry in tolerations if tolerates(entry, taint)), None)
        if used is None:
            return 0.0
        if used.toleration_seconds is not None:
            seconds = max(float(used.toleration_seconds), 0.0)
            shortest = seconds if shortest is None else min(shortest, seconds)
    return shortest


@dataclass(frozen=True)
class _Planned:
    uid: str
    due: float


class TaintEvictionController:
    name = "taint-eviction-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._events, self._queue = ctx.client, ctx.clock, ctx.events, ctx.queue
        self._pods = ctx.informer(Pod)
        self._nodes = ctx.informer(Node)
        index_by_node(self._pods)
        self._planned: dict[Key, _Planned] = {}
        self._pods.on_change(self._pod_changed)
        self._nodes.on_change(self._node_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._cancel(old)
        elif new.spec.node_name and (old is None or _shown(old) != _shown(new)):
            self._queue.add(new.key)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        before = evicting(old.spec.taints) if old else []
        after = evicting(new.spec.taints) if new else []
        node = new or old
        if node is not None and before != after:
            for pod in pods_on(self._pods, node.metadata.name):
                self._queue.add(pod.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        pod = self._pods.get(key)
        if pod is None or pod.metadata.deletion_timestamp:
            self._planned.pop(key, None)
            return None
        node = self._nodes.get(Key("", pod.spec.node_name))
        taints = evicting(node.spec.taints) if node else []
        stay = tolerated_seconds(taints, pod.spec.tolerations) if taints else None
        if stay is None:
            self._cancel(pod)
            return None
        left = self._left(pod, stay)
        if left > 0:
            return Requeue(left)
        await self._evict(pod)
        return None

    def _left(self, pod: Pod, stay: float) -> float:
        """Seconds until the Pod must go. A planned eviction keeps its time, unless it is due at once."""
        now = self._clock.monotonic()
        planned = self._planned.get(pod.key)
        if not stay or planned is None or planned.uid != pod.metadata.uid:
            planned = self._planned[pod.key] = _Planned(pod.metadata.uid, now + stay)
        return planned.due - now

    async def _evict(self, pod: Pod) -> None:
        log.info("evicting pod key=%s node=%s", pod.key, pod.spec.node_name)
        self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {pod.key}")
        await end(self._client, pod, disrupted_status(pod, CAUSE, self._clock.now(), fail=False))
        evicted_pods.inc()
        if planned := self._planned.pop(pod.key, None):
            eviction_seconds.observe(self._clock.monotonic() - planned.due)

    def _cancel(self, pod: Pod) -> None:
        """The Pod may stay after all, or is gone; people hear of it where they heard that it must go."""
        planned = self._planned.pop(pod.key, None)
        if planned is not None and planned.due > self._clock.monotonic():
            text = f"Cancelling deletion of Pod {pod.key}"
            self._events.event(pod, "Normal", "TaintManagerEviction", text)


def _shown(pod: Pod) -> tuple[object, ...]:
    """What decides about a Pod's eviction."""
    return pod.metadata.uid, pod.spec.node_name, pod.spec.tolerations, pod.metadata.deletion_timestamp is None
