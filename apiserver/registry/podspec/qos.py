"""The quality of service class of a pod."""

from __future__ import annotations

from kplane.api import quantity
from kplane.api.resource import Object

_RESOURCES = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """Guaranteed where every container's requests equal its limits, BestEffort where there are none."""
    if spec.get("resources"):
        parts = [spec["resources"]]
    else:
        containers = (spec.get("containers") or []) + (spec.get("initContainers") or [])
        parts = [container.get("resources") or {} for container in containers]
    requests, limits, guaranteed = False, False, True
    for part in parts:
        asked, limited = _positive(part.get("requests")), _positive(part.get("limits"))
        requests, limits = requests or bool(asked), limits or bool(limited)
        # A request that is not given is its limit's, so only different ones count.
        same = all(quantity.compare(value, limited.get(name, "0")) == 0 for name, value in asked.items())
        guaranteed = guaranteed and len(limited) == len(_RESOURCES) and same
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Object | None) -> Object:
    return {
        name: value
        for name, value in (amounts or {}).items()
        if name in _RESOURCES and quantity.sign(value) > 0
    }
