"""How autoscalers, scales and disruption budgets are shown."""

from __future__ import annotations

from datetime import datetime

from kplane.api.quantity import canonical
from kplane.api.resource import Object

from .durations import age
from .printer import AGE, NAME, Cells, Column, Printer, at

_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _autoscaler(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    target = spec["scaleTargetRef"]
    return [
        obj["metadata"]["name"],
        f"{target['kind']}/{target['name']}",
        _metrics(spec, status),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else "<unset>",
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(spec: Object, status: Object) -> str:
    """`cpu: 10%/80%, …`; version 1 of the API knows the CPU alone."""
    if (percent := spec.get("targetCPUUtilizationPercentage")) is not None:
        current = status.get("currentCPUUtilizationPercentage")
        return f"cpu: {'<unknown>' if current is None else f'{current}%'}/{percent}%"
    metrics = spec.get("metrics") or ()
    statuses = status.get("currentMetrics") or ()
    texts = [_metric(metric, statuses[i] if i < len(statuses) else {}) for i, metric in enumerate(metrics)]
    more = f" + {len(texts) - 2} more..." if len(texts) > 2 else ""
    return ", ".join(texts[:2]) + more if texts else "<none>"


def _metric(metric: Object, status: Object) -> str:
    source = _SOURCES.get(metric["type"])
    if source is None:
        return "<unknown type>"
    target = at(metric, source, "target", default={})
    current = at(status, source, "current", default={})
    if source in ("resource", "containerResource"):
        return f"{at(metric, source, 'name', default='')}: {_resource(target, current)}"
    if source == "pods":
        return f"{_amount(current, 'averageValue')}/{_amount(target, 'averageValue')}"
    if target.get("averageValue") is not None:
        return f"{_amount(current, 'averageValue')}/{_amount(target, 'averageValue')} (avg)"
    return f"{_amount(current, 'value')}/{_amount(target, 'value')}"


def _resource(target: Object, current: Object) -> str:
    if target.get("averageValue") is not None:
        return f"{_amount(current, 'averageValue')}/{_amount(target, 'averageValue')}"
    wanted, used = target.get("averageUtilization"), current.get("averageUtilization")
    return f"{'<unknown>' if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _amount(values: Object, name: str) -> str:
    value = values.get(name)
    return "<unknown>" if value is None else canonical(value)


def _scale(obj: Object, now: datetime) -> Cells:
    wanted, have = at(obj, "spec", "replicas", default=0), at(obj, "status", "replicas", default=0)
    return [obj["metadata"]["name"], wanted, have, age(obj, now)]


def _disruption_budget(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    return [
        obj["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        at(obj, "status", "disruptionsAllowed", default=0),
        age(obj, now),
    ]


AUTOSCALER = Printer(
    (
        NAME,
        Column("Reference", field="autoscaling.v2.HorizontalPodAutoscalerSpec.scaleTargetRef"),
        Column("Targets", field="autoscaling.v2.HorizontalPodAutoscalerSpec.metrics"),
        Column("MinPods", field="autoscaling.v2.HorizontalPodAutoscalerSpec.minReplicas"),
        Column("MaxPods", field="autoscaling.v2.HorizontalPodAutoscalerSpec.maxReplicas"),
        Column("Replicas", field="autoscaling.v2.HorizontalPodAutoscalerStatus.currentReplicas"),
        AGE,
    ),
    _autoscaler,
)
SCALE = Printer(
    (
        Column("Name", field="meta.v1.ObjectMeta.name"),
        Column("Desired", "integer", field="autoscaling.v1.ScaleSpec.replicas"),
        Column("Available", "integer", field="autoscaling.v1.ScaleStatus.replicas"),
        AGE,
    ),
    _scale,
)
DISRUPTION_BUDGET = Printer(
    (
        NAME,
        Column("Min Available", description="The minimum number of pods that must be available."),
        Column("Max Unavailable", description="The maximum number of pods that may be unavailable."),
        Column(
            "Allowed Disruptions",
            "integer",
            description="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE,
    ),
    _disruption_budget,
)
