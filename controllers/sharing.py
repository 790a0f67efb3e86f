"""Equal parts of the objects in the caches are one part: half of a Pod says what its siblings say, too.

Not in the views themselves: what is read once and thrown away gains nothing from it.

Invariant: only equal values replace each other, and only in objects that nobody else has seen yet.
"""

from __future__ import annotations

from collections.abc import Hashable
from sys import intern
from typing import Any, TypeVar

from msgspec.structs import force_setattr

from kplane.api.types import Pod
from kplane.api.types.meta import ObjectMeta, View

T = TypeVar("T", bound=Hashable)

MOST = 500
"""Parts that are remembered; then begins a new collection. What shares the old ones keeps sharing them."""


class Sharing:
    """Call it with every object that comes in."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, Any] = {}

    def __call__(self, obj: Any) -> None:
        if isinstance(obj, View):
            self._share_metadata(obj.metadata)
            if isinstance(obj, Pod):
                self._share_pod(obj)

    def __len__(self) -> int:
        """How many parts are remembered."""
        return len(self._parts)

    def _share_metadata(self, meta: ObjectMeta) -> None:
        _intern(meta, ("namespace", "generate_name"))
        if meta.owner_references:
            force_setattr(meta, "owner_references", self._one(meta.owner_references))
        if meta.labels:
            labels = self._parts.get(key := tuple(meta.labels.items()))
            force_setattr(meta, "labels", labels or self._remember(key, meta.labels))

    def _share_pod(self, pod: Pod) -> None:
        spec, status = pod.spec, pod.status
        _intern(spec, ("node_name", "scheduler_name", "restart_policy", "priority_class_name"))
        if spec.preemption_policy is not None:
            _intern(spec, ("preemption_policy",))
        if spec.tolerations:
            force_setattr(spec, "tolerations", self._one(spec.tolerations))
        for container in spec.containers:
            _intern(container, ("name", "image"))
        _intern(status, ("phase", "host_ip"))
        for condition in status.conditions:
            _intern(condition, ("type", "status", "reason"))
        for entry in status.container_statuses:
            _intern(entry, ("name",))

    def _one(self, part: T) -> T:
        found: T | None = self._parts.get(part)
        return self._remember(part, part) if found is None else found

    def _remember(self, key: Hashable, part: Any) -> Any:
        if len(self._parts) >= MOST:
            self._parts.clear()
        self._parts[key] = part
        return part


def _intern(part: Any, names: tuple[str, ...]) -> None:
    for name in names:
        force_setattr(part, name, intern(getattr(part, name)))
