"""Scaling to zero replicas and back: which targets without replicas are paused, which are only idle.

A condition remembers that the controller itself was who scaled to zero; a target that somebody else has set
to zero is left alone, whatever its metrics say.
"""

from __future__ import annotations

from kplane.api.types.meta import condition

from .views import HorizontalPodAutoscaler, Spec

GATE = "HPAScaleToZero"
SCALED_TO_ZERO = "ScaledToZero"
_OUTER = ("External", "Object")
"""Types of metrics that there are without a Pod."""


def paused(scaler: HorizontalPodAutoscaler, least: int) -> bool:
    """Whether a target without replicas stays so. Where the least has been raised since it was scaled to
    zero, metrics of any type may bring it back."""
    entry = condition(scaler.status.conditions, SCALED_TO_ZERO)
    if entry is None or entry.status != "True":
        return True
    return least == 0 and not _has_outer(scaler.spec)


def outcome(spec: Spec, before: int, after: int, least: int) -> tuple[bool, str, str]:
    """What the condition says after a change of the scale: status, reason, message."""
    if before > 0 and after == least == 0 and _has_outer(spec):
        return True, SCALED_TO_ZERO, "the HPA controller scaled the workload to zero"
    return False, "NotScaledToZero", "the HPA controller did not scale the workload to zero"


def _has_outer(spec: Spec) -> bool:
    return any(metric.get("type") in _OUTER for metric in spec.metrics or ())
