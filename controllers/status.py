"""Status bodies: how counts and conditions are written.

Owns: the wire form of the parts that every status shares, in upstream's spelling: zero counts are left out,
conditions keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.api.types import Condition

_TIMES = {
    "last_probe_time": "lastProbeTime",
    "last_update_time": "lastUpdateTime",
    "last_transition_time": "lastTransitionTime",
}


def counts(values: Mapping[str, int]) -> Object:
    """Merge-patch form of counts that upstream omits when zero: zero removes the field."""
    return {name: value or None for name, value in values.items()}


def condition_body(condition: Condition) -> Object:
    """A condition as JSON, with the fields that it has."""
    body: Object = {"type": condition.type, "status": condition.status}
    for attribute, name in _TIMES.items():
        moment: datetime | None = getattr(condition, attribute)
        if moment is not None:
            body[name] = rfc3339(moment)
    if condition.observed_generation:
        body["observedGeneration"] = condition.observed_generation
    if condition.reason:
        body["reason"] = condition.reason
    if condition.message:
        body["message"] = condition.message
    return body


def conditions_body(conditions: Sequence[Condition]) -> list[Object] | None:
    """Merge-patch form of a list of conditions; none at all removes the field."""
    return [condition_body(entry) for entry in conditions] or None


def without(conditions: Sequence[Condition], kind: str) -> tuple[Condition, ...]:
    """The conditions but for the one of this type."""
    return tuple(entry for entry in conditions if entry.type != kind)


def guarded(metadata: Any, body: Object) -> Object:
    """The patch `body`, refused by the server if the object changed since `metadata` was read."""
    guard = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
    return body | {"metadata": body.get("metadata", {}) | guard}
