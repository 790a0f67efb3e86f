"""Which taints and labels a node should have, and how they are written.

Writes: spec.taints of Nodes, each time computed from the node as the API server has it and guarded by its
resourceVersion.

Invariant: only taints that this controller keeps are touched; those of people and of others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import Conflict, NotFound
from kplane.api.resource import Object
from kplane.api.types import Node
from kplane.api.types.core import Taint
from kplane.client.rest import Client

from ..nodes import NO_EXECUTE, NO_SCHEDULE, NOT_READY, UNREACHABLE, has_taint, ready_condition

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

BY_CONDITION: Mapping[str, Mapping[str, str]] = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
"""Condition -> status -> key of the taint that keeps new Pods away."""

KEPT = frozenset(key for keys in BY_CONDITION.values() for key in keys.values()) | {UNSCHEDULABLE}

LABELS: Mapping[str, str] = {
    "kubernetes.io/os": "beta.kubernetes.io/os",
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
}
"""Label -> the older label that must say the same."""

ATTEMPTS = 5


@dataclass(frozen=True)
class Change:
    """Taints to add and to remove, as (key, effect)."""

    add: Sequence[tuple[str, str]] = ()
    remove: Sequence[tuple[str, str]] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def scheduling(node: Node) -> Change:
    """Bring the NoSchedule taints in line with conditions and spec.unschedulable."""
    wanted = {
        key
        for entry in node.status.conditions
        if (key := BY_CONDITION.get(entry.type, {}).get(entry.status)) is not None
    }
    if node.spec.unschedulable:
        wanted.add(UNSCHEDULABLE)
    present = {taint.key for taint in node.spec.taints if taint.effect == NO_SCHEDULE} & KEPT
    return Change(_each(wanted - present, NO_SCHEDULE), _each(present - wanted, NO_SCHEDULE))


def executing(node: Node) -> Change:
    """Bring the NoExecute taints in line with the Ready condition; as it is now, not as it was when the node
    was put into a queue."""
    ready = ready_condition(node)
    if ready is None:
        return Change()
    wanted = BY_CONDITION["Ready"].get(ready.status)
    add = {wanted} if wanted and not has_taint(node, wanted, NO_EXECUTE) else set()
    remove = {key for key in (NOT_READY, UNREACHABLE) if key != wanted and has_taint(node, key, NO_EXECUTE)}
    return Change(_each(add, NO_EXECUTE), _each(remove, NO_EXECUTE))


def reachable(node: Node) -> Change:
    """No NoExecute taint for silence at all."""
    present = {key for key in (NOT_READY, UNREACHABLE) if has_taint(node, key, NO_EXECUTE)}
    return Change(remove=_each(present, NO_EXECUTE))


def missing_labels(node: Node) -> dict[str, str]:
    """The older labels that do not say what the newer ones say."""
    labels = node.metadata.labels
    return {
        old: labels[new] for new, old in LABELS.items() if new in labels and labels.get(old) != labels[new]
    }


async def apply(client: Client, clock: Clock, name: str, plan: Callable[[Node], Change]) -> None:
    """Make the planned change, if the node still needs it. Raises ApiError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            node = await client.get(Node, name)
            change = plan(node)
            if not change:
                return
            metadata = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
            taints = _changed(node.spec.taints, change, rfc3339(clock.now()))
            await client.patch(Node, name, "", {"metadata": metadata, "spec": {"taints": taints or None}})
        except NotFound:
            return
        except Conflict:
            # Somebody wrote to the node in between, a kubelet perhaps that has come back.
            if attempt == ATTEMPTS:
                raise
        else:
            return


def _changed(taints: Sequence[Taint], change: Change, now: str) -> list[Object]:
    gone = {*change.add, *change.remove}
    kept = [_body(taint) for taint in taints if (taint.key, taint.effect) not in gone]
    return [*kept, *({"key": key, "effect": effect, "timeAdded": now} for key, effect in change.add)]


def _body(taint: Taint) -> Object:
    body: Object = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        body["value"] = taint.value
    if taint.time_added is not None:
        body["timeAdded"] = rfc3339(taint.time_added)
    return body


def _each(keys: set[str], effect: str) -> list[tuple[str, str]]:
    return [(key, effect) for key in sorted(keys)]
