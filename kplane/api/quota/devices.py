"""What a ResourceClaim costs: one claim, and of each device class as many devices as it may get.

Rules: `pkg/quota/v1/evaluator/core/resource_claims.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from kplane.api.quantity import Wire
from kplane.api.resource import Object

COUNT = "count/resourceclaims.resource.k8s.io"
CLASS_SUFFIX = ".deviceclass.resource.k8s.io/devices"
MOST = 32
"""Devices that one request can be given; what asks for all devices is charged for so many."""


def counts(name: str) -> bool:
    return name == COUNT or name.endswith(CLASS_SUFFIX)


def usage(claim: Object, now: datetime) -> dict[str, Wire]:
    total: dict[str, int] = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or []:
        for name, number in _wanted(request):
            total[name] = total.get(name, 0) + number
    found: dict[str, Wire] = {COUNT: "1"}
    found |= {f"{name}{CLASS_SUFFIX}": str(number) for name, number in sorted(total.items())}
    return found


def _wanted(request: Object) -> Iterator[tuple[str, int]]:
    """By device class. Of alternatives the dearest counts, for each class."""
    most: dict[str, int] = {}
    for each in request.get("firstAvailable") or [request.get("exactly") or {}]:
        name, number = each.get("deviceClassName", ""), _number(each)
        if name:
            most[name] = max(most.get(name, 0), number)
    yield from most.items()


def _number(request: Object) -> int:
    if (request.get("allocationMode") or "ExactCount") == "ExactCount":
        return request.get("count") or 1
    return MOST
