"""Ending Pods against their will: the condition DisruptionTarget says why, then they are deleted.

Owns: the order of the two writes. A process that dies between them leaves a Pod that is marked, and whoever
takes over deletes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.meta import condition
from kplane.client.rest import Client, PatchType

DISRUPTION_TARGET = "DisruptionTarget"


@dataclass(frozen=True)
class Cause:
    """Why a Pod is disrupted, as its condition says it."""

    reason: str
    message: str


def pod_condition(pod: Pod, kind: str, status: str, now: datetime, cause: Cause | None = None) -> Object:
    """A condition for a strategic merge patch of a Pod's status."""
    old = condition(pod.status.conditions, kind)
    body: Object = {"type": kind, "status": status}
    if old is None or old.status != status:
        body["lastTransitionTime"] = rfc3339(now)
    if pod.metadata.generation:
        body["observedGeneration"] = pod.metadata.generation
    if cause is not None:
        body |= {"reason": cause.reason, "message": cause.message}
    return body


def disrupted_status(pod: Pod, cause: Cause | None, now: datetime, *, fail: bool) -> Object:
    """What the Pod's status must change to before it is deleted; empty for nothing."""
    status: Object = {}
    if fail and not pod.terminal:
        status["phase"] = "Failed"
    if cause is not None:
        old = condition(pod.status.conditions, DISRUPTION_TARGET)
        if old is None or (old.status, old.reason) != ("True", cause.reason):
            status["conditions"] = [pod_condition(pod, DISRUPTION_TARGET, "True", now, cause)]
    return status


async def end(client: Client, pod: Pod, status: Object, *, grace_seconds: int | None = None) -> None:
    """Write the status, if there is one to write, and delete the Pod. One that is gone is no failure."""
    try:
        if status:
            await patch_status(client, pod, status)
        await client.delete(
            Pod, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid, grace_seconds=grace_seconds
        )
    except NotFound:
        return


async def patch_status(client: Client, pod: Pod, status: Object) -> None:
    """Raises NotFound, and Conflict where another Pod has taken the name."""
    patch = {"metadata": {"uid": pod.metadata.uid}, "status": status}
    await client.patch(
        Pod, pod.metadata.name, pod.metadata.namespace, patch,
        kind=PatchType.STRATEGIC, subresource="status",
    )  # fmt: skip
