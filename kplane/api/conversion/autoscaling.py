"""HorizontalPodAutoscalers: version 1 knows the CPU's utilisation alone.

What else version 2 says travels in version 1's annotations, as upstream writes them (`pkg/apis/autoscaling`),
so that a client of either version may read and write an object without losing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from kplane.api.resource import Object

from .autoscalingnotes import read_behavior, read_conditions, read_metrics

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS = f"{_PREFIX}metrics"
CURRENT_METRICS = f"{_PREFIX}current-metrics"
CONDITIONS = f"{_PREFIX}conditions"
BEHAVIOR = f"{_PREFIX}behavior"
_ANNOTATIONS = frozenset({METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR})

_CPU = "cpu"
_AMOUNTS = {
    "averageUtilization": "Utilization",
    "averageValue": "AverageValue",
    "value": "Value",
}
"""Fields of a version 2 target, and the type of target that each makes."""

Side = Literal["target", "current"]

_RESOURCE = {
    "name": ("name",),
    "{side}AverageUtilization": ("{side}", "averageUtilization"),
    "{side}AverageValue": ("{side}", "averageValue"),
}
_SOURCES: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "Resource": ("resource", _RESOURCE),
    "ContainerResource": ("containerResource", _RESOURCE | {"container": ("container",)}),
    "Pods": (
        "pods",
        {
            "metricName": ("metric", "name"),
            "selector": ("metric", "selector"),
            "{side}AverageValue": ("{side}", "averageValue"),
        },
    ),
    "Object": (
        "object",
        {
            "target": ("describedObject",),
            "metricName": ("metric", "name"),
            "selector": ("metric", "selector"),
            "{side}Value": ("{side}", "value"),
            "averageValue": ("{side}", "averageValue"),
        },
    ),
    "External": (
        "external",
        {
            "metricName": ("metric", "name"),
            "metricSelector": ("metric", "selector"),
            "{side}Value": ("{side}", "value"),
            "{side}AverageValue": ("{side}", "averageValue"),
        },
    ),
}
"""Type of a metric -> its field, and where version 2 keeps each field of version 1's flat form. `{side}` is
`target` in what is wanted, `current` in what was measured."""


def to_v1(autoscaler: Object) -> Object:
    """From version 2."""
    metadata, spec = dict(autoscaler["metadata"]), dict(autoscaler.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = spec.pop("metrics", None) or ()
    if (percent := _cpu_utilization(metrics, "target")) is not None:
        spec["targetCPUUtilizationPercentage"] = percent
    _annotate(annotations, METRICS, _flat(metrics, "target"))
    _annotate(annotations, BEHAVIOR, _capitalised(spec.pop("behavior", None)))
    result = autoscaler | {"apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec}
    if (stored := autoscaler.get("status")) is not None:
        result["status"] = status = dict(stored)
        measured = status.pop("currentMetrics", None) or ()
        if (percent := _cpu_utilization(measured, "current")) is not None:
            status["currentCPUUtilizationPercentage"] = percent
        _annotate(annotations, CURRENT_METRICS, _flat(measured, "current"))
        _annotate(annotations, CONDITIONS, status.pop("conditions", None))
    if annotations:
        metadata["annotations"] = annotations
    return result


def to_v2(autoscaler: Object) -> Object:
    """From version 1. Annotations that cannot be read are dropped, as upstream drops them."""
    metadata, spec = dict(autoscaler["metadata"]), dict(autoscaler.get("spec") or {})
    annotations = metadata.pop("annotations", None) or {}
    kept = {name: text for name, text in annotations.items() if name not in _ANNOTATIONS}
    if kept:
        metadata["annotations"] = kept
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if metrics := _metrics(annotations.get(METRICS), percent, "target"):
        spec["metrics"] = metrics
    if behavior := read_behavior(annotations.get(BEHAVIOR)):
        spec["behavior"] = behavior
    result = autoscaler | {"apiVersion": "autoscaling/v2", "metadata": metadata, "spec": spec}
    if (stored := autoscaler.get("status")) is not None:
        result["status"] = status = dict(stored)
        percent = status.pop("currentCPUUtilizationPercentage", None)
        if measured := _metrics(annotations.get(CURRENT_METRICS), percent, "current"):
            status["currentMetrics"] = measured
        if conditions := read_conditions(annotations.get(CONDITIONS)):
            status["conditions"] = conditions
    return result


def _is_cpu_utilization(metric: Object, side: Side) -> bool:
    resource = metric.get("resource") or {}
    amounts = resource.get(side) or {}
    return (
        metric["type"] == "Resource"
        and resource.get("name") == _CPU
        and amounts.get("averageUtilization") is not None
    )


def _cpu_utilization(metrics: Sequence[Object], side: Side) -> int | None:
    found = (metric["resource"][side] for metric in metrics if _is_cpu_utilization(metric, side))
    return next((amounts["averageUtilization"] for amounts in found), None)


def _flat(metrics: Sequence[Object], side: Side) -> list[Object]:
    """What version 1 has no field for, in its flat form."""
    others = (metric for metric in metrics if not _is_cpu_utilization(metric, side))
    return [_flat_metric(metric, side) for metric in others if metric["type"] in _SOURCES]


def _flat_metric(metric: Object, side: Side) -> Object:
    source, fields = _SOURCES[metric["type"]]
    flat: Object = {}
    for name, path in fields.items():
        value: Any = metric.get(source)
        for part in path:
            value = value.get(part.format(side=side)) if value else None
        if value is not None:
            flat[name.format(side=side)] = value
    return {"type": metric["type"], source: flat}


def _metrics(annotation: str | None, cpu_percent: int | None, side: Side) -> list[Object]:
    """Version 2's metrics: those of the annotation, and at last the CPU."""
    metrics = [_nested_metric(metric, side) for metric in read_metrics(annotation)]
    if cpu_percent is not None:
        amounts = _typed({"averageUtilization": cpu_percent}, side)
        metrics.append({"type": "Resource", "resource": {"name": _CPU, side: amounts}})
    return metrics


def _nested_metric(metric: Object, side: Side) -> Object:
    """One of a type that there is not, or without what its type needs, is for validation to refuse."""
    source, fields = _SOURCES.get(metric.get("type", ""), ("", {}))
    if (flat := metric.get(source)) is None:
        return {"type": metric.get("type", "")}
    nested: Object = {}
    for name, path in fields.items():
        if (value := flat.get(name.format(side=side))) is not None:
            *parents, last = (part.format(side=side) for part in path)
            place = nested
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
    nested[side] = _typed(nested.get(side, {}), side)
    return {"type": metric["type"], source: nested}


def _typed(amounts: Object, side: Side) -> Object:
    if side == "current":
        return amounts
    return {"type": next((kind for name, kind in _AMOUNTS.items() if name in amounts), "Value"), **amounts}


def _annotate(annotations: dict[str, str], name: str, value: Any) -> None:
    if value:
        annotations[name] = msgspec.json.encode(value).decode()


def _capitalised(value: Any) -> Any:
    """Field names as Go writes those of a type without JSON names: `scaleUp` -> `ScaleUp`."""
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: _capitalised(entry) for name, entry in value.items()}
    return [_capitalised(entry) for entry in value] if isinstance(value, list) else value
