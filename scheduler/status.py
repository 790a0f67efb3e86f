"""What a Pod's status says about its scheduling: the PodScheduled condition. Pure."""

from __future__ import annotations

from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.meta import condition

UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"


def not_scheduled(
    pod: Pod, reason: str, message: str, now: datetime, nominated: str | None = None
) -> Object | None:
    """The strategic merge patch that says why the Pod has no node, and which one it is nominated to (none:
    empty; left as it is: None). None if its status says so already."""
    old = condition(pod.status.conditions, "PodScheduled")
    named: Object = {}
    if nominated is not None and nominated != pod.status.nominated_node_name:
        named["nominatedNodeName"] = nominated or None
    if old is not None and (old.status, old.reason, old.message) == ("False", reason, message):
        return {"metadata": {"uid": pod.metadata.uid}, "status": named} if named else None
    since = old.last_transition_time if old is not None and old.status == "False" else None
    new: Object = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(since or now),
    }
    if pod.metadata.generation:
        new["observedGeneration"] = pod.metadata.generation
    return {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [new], **named}}
