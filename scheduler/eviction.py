"""Making victims leave: they are told why, deleted with their grace, and everybody hears of it.

Writes: the DisruptionTarget condition of victims, their deletion, Events about them.
Source: `framework/preemption/executor.go`.
"""

from __future__ import annotations

import asyncio
import logging

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.client.events import EventRecorder
from kplane.client.rest import Client, PatchType

from .pod import PodInfo
from .preemption import Candidate

log = logging.getLogger(__name__)

REASON = "PreemptionByScheduler"


class Evictor:
    def __init__(self, client: Client, events: EventRecorder, clock: Clock, scheduler_name: str) -> None:
        self._client, self._events, self._clock = client, events, clock
        self._scheduler_name = scheduler_name

    async def make_room(self, pod: PodInfo, candidate: Candidate) -> None:
        """Evict all victims at once. Raises ApiError where one of them cannot be made to leave."""
        failures = await asyncio.gather(
            *(self._evict(pod, victim, candidate.node) for victim in candidate.victims)
        )
        for failure in failures:
            if failure is not None:
                raise failure

    async def _evict(self, pod: PodInfo, victim: PodInfo, node: str) -> ApiError | None:
        meta = victim.pod.metadata
        patch = disruption(victim.pod, self._scheduler_name, rfc3339(self._clock.now()))
        try:
            await self._client.patch(
                Pod, meta.name, meta.namespace, patch, kind=PatchType.STRATEGIC, subresource="status"
            )
            await self._client.delete(Pod, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            log.info("victim is gone pod=%s", victim.key)
            return None
        except ApiError as error:
            log.warning("victim stays pod=%s why=%s", victim.key, error)
            return error
        log.info("preempted pod=%s by=%s node=%s", victim.key, pod.key, node)
        text = f"Preempted by pod {pod.uid} on node {node}"
        self._events.event(victim.pod, "Normal", "Preempted", text)
        return None


def disruption(victim: Pod, scheduler_name: str, now: str) -> Object:
    condition: Object = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": REASON,
        "message": f"{scheduler_name}: preempting to accommodate a higher priority pod",
        "lastTransitionTime": now,
    }
    if victim.metadata.generation:
        condition["observedGeneration"] = victim.metadata.generation
    return {"metadata": {"uid": victim.metadata.uid}, "status": {"conditions": [condition]}}
