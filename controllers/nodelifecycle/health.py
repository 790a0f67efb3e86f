"""How long each node has been silent, and what its conditions become then. No I/O.

A heartbeat is a renewed Lease or a newly posted status. Its time is when this process saw it, on its own
clock: clocks of nodes do not matter, and a controller that has just started gives each node its full time.

Invariant: a condition that this controller has set to Unknown never counts as a heartbeat.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.api.types import Lease, Node
from kplane.api.types.meta import condition

from ..nodes import ready_condition

CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""The conditions that only a kubelet can know about."""


@dataclass
class _Seen:
    posted: datetime | None
    renewed: datetime | None
    at: float
    """When one of them last changed, in monotonic seconds."""


class Heartbeats:
    """The newest heartbeat of each node, by uid: a node made anew begins anew."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def observe(self, node: Node, lease: Lease | None, now: float, wall: datetime) -> None:
        """Take note of the node as it is."""
        posted, renewed = _posted(node), lease.spec.renew_time if lease else None
        seen = self._seen.get(node.metadata.uid)
        if seen is None:
            heard = now if posted or renewed else now - _age(node, wall)
            self._seen[node.metadata.uid] = _Seen(posted, renewed, heard)
            return
        if posted is not None and posted != seen.posted:
            seen.posted, seen.at = posted, now
        if renewed is not None and (seen.renewed is None or renewed > seen.renewed):
            seen.renewed, seen.at = renewed, now

    def silence(self, node: Node, now: float) -> float:
        """Seconds since the node was last heard of."""
        seen = self._seen.get(node.metadata.uid)
        return now - seen.at if seen else 0.0

    def forgive(self, now: float) -> None:
        """This process, not the nodes, was out of touch: all of them get their full time again."""
        for seen in self._seen.values():
            seen.at = now

    def keep(self, nodes: Iterable[Node]) -> None:
        """Forget all others."""
        uids = {node.metadata.uid for node in nodes}
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in uids}


def _posted(node: Node) -> datetime | None:
    """When the kubelet says that it posted the status."""
    ready = ready_condition(node)
    return ready.last_heartbeat_time if ready and ready.status != "Unknown" else None


def _age(node: Node, wall: datetime) -> float:
    created = node.metadata.creation_timestamp
    return max((wall - created).total_seconds(), 0.0) if created else 0.0


def unknown_conditions(node: Node, wall: datetime) -> list[Object]:
    """The conditions of a node that has been silent for too long, as a strategic merge patch; none where its
    readiness is Unknown already."""
    ready = ready_condition(node)
    if ready is not None and ready.status == "Unknown":
        return []
    return [entry for kind in CONDITIONS if (entry := _unknown(node, kind, wall))]


def _unknown(node: Node, kind: str, wall: datetime) -> Object | None:
    current = condition(node.status.conditions, kind)
    if current is not None and current.status == "Unknown":
        return None
    body: Object = {"type": kind, "status": "Unknown", "lastTransitionTime": rfc3339(wall)}
    if current is not None:
        return body | {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    created = node.metadata.creation_timestamp
    if created is not None:
        body["lastHeartbeatTime"] = rfc3339(created)
    return body | {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
