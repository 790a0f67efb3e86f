"""HorizontalPodAutoscalers, of both versions: they differ only in how metrics are written.

Rules and wording: upstream's `pkg/apis/autoscaling/validation` and `v2/defaults.go`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from kplane.api import names, quantity
from kplane.api.conversion.autoscaling import to_v2
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import NEGATIVE, non_negative
from .status import StatusStrategy

_V1 = "autoscaling/v1"
_USUAL_SHARE = 80
_POSITIVE = "must be positive"
_MAX_WINDOW, _MAX_PERIOD = 3600, 1800
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_OUTER = ("External", "Object")
"""Metrics that there are without a Pod."""
_RAW_OR_UTILIZATION = "a target raw value {} a target utilization"
_ALL = {"type": "Percent", "value": 100, "periodSeconds": 15}
_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _ALL],
}
_DOWN: Object = {"selectPolicy": "Max", "policies": [_ALL]}


class HorizontalPodAutoscalerStrategy(StatusStrategy):
    immutable_spec_generation = True
    empty_status = {"currentReplicas": 0, "desiredReplicas": 0}  # noqa: RUF012

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("minReplicas", 1)
        if obj.get("apiVersion") == _V1:
            if spec.get("targetCPUUtilizationPercentage") is None and not _as_v2(obj)["spec"].get("metrics"):
                spec["targetCPUUtilizationPercentage"] = _USUAL_SHARE
        elif not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": _USUAL_SHARE}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        if (behavior := spec.get("behavior")) is not None:
            for name, defaults in (("scaleUp", _UP), ("scaleDown", _DOWN)):
                behavior[name] = {**copy.deepcopy(defaults), **(behavior.get(name) or {})}

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate(_as_v2(obj)["spec"], path.spec, None)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate(_as_v2(new)["spec"], path.spec, _as_v2(old)["spec"])

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status = new.get("status") or {}
        yield from non_negative(status, path.status, "currentReplicas", "desiredReplicas")


def _as_v2(obj: Object) -> Object:
    """Version 1 says in annotations what it has no fields for."""
    return to_v2(obj) if obj.get("apiVersion") == _V1 else obj


def _validate(spec: Object, here: Path, old: Object | None) -> Iterator[FieldError]:
    """`old`: the spec as it was, which may have what a new one may not."""
    least, most = spec["minReplicas"], spec.get("maxReplicas", 0)
    if least < 0:
        yield here.minReplicas.invalid(least, "must be greater than or equal to 0")
    if most < 1:
        yield here.maxReplicas.invalid(most, "must be greater than 0")
    if most < least:
        yield here.maxReplicas.invalid(most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    yield from _validate_reference(target, here.scaleTargetRef)
    if not _same_kind(target, (old or {}).get("scaleTargetRef")):
        grouped = target.get("kind") != "ReplicationController"
        yield from _validate_version(target, here.scaleTargetRef, grouped=grouped)
    yield from _validate_metrics(spec, here, old)
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if (rules := behavior.get(name)) is not None:
            yield from _validate_rules(rules, here.behavior.child(name))


def _same_kind(new: Object, old: Object | None) -> bool:
    return old is not None and all(new.get(name, "") == old.get(name, "") for name in ("apiVersion", "kind"))


def _validate_metrics(spec: Object, path: Path, old: Object | None) -> Iterator[FieldError]:
    metrics = spec.get("metrics") or ()
    # Where one of the old metrics is about what no version has, the new ones may be, too.
    lax = any(
        _version_fault(described, grouped=False)
        for metric in (old or {}).get("metrics") or ()
        if (described := (metric.get("object") or {}).get("describedObject"))
    )
    for index, metric in enumerate(metrics):
        yield from _validate_metric(metric, path.metrics[index])
        described = (metric.get("object") or {}).get("describedObject")
        if described and not lax:
            here = path.metrics[index].object.describedObject
            yield from _validate_version(described, here, grouped=False)
    if spec["minReplicas"] == 0 and not any(metric.get("type") in _OUTER for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield path.metrics.forbidden(text)


def _validate_reference(reference: Object, path: Path) -> Iterator[FieldError]:
    for name in ("kind", "name"):
        if not reference.get(name):
            yield path.child(name).required()
        for text in names.path_segment(reference.get(name, "")):
            yield path.child(name).invalid(reference[name], text)


def _validate_version(reference: Object, path: Path, *, grouped: bool) -> Iterator[FieldError]:
    if fault := _version_fault(reference, grouped=grouped):
        yield path.apiVersion.invalid(reference.get("apiVersion", ""), fault)


def _version_fault(reference: Object, *, grouped: bool) -> str:
    """`grouped`: whether the version must name a group."""
    version = reference.get("apiVersion", "")
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    if grouped and version.find("/") < 1:
        return "apiVersion must specify API group"
    return ""


def _validate_metric(metric: Object, path: Path) -> Iterator[FieldError]:
    kind = metric.get("type", "")
    if not kind:
        yield path.type.required("must specify a metric source type")
    if kind not in _SOURCES:
        yield path.type.not_supported(kind, _SOURCES)
    given = [name for name in ("object", "external", "pods", "resource", "containerResource")
        if metric.get(name) is not None]  # fmt: skip
    if given:
        source, here = metric[given[0]], path.child(given[0])
        yield from _CHECKS[given[0]](source, here)
    wanted = _SOURCES.get(kind, "")
    if not wanted:
        # Upstream says so twice.
        yield path.type.not_supported(kind, _SOURCES)
    elif wanted not in given:
        yield path.child(wanted).required("must populate information for the given metric source")
    if len(given) != 1:
        for name in given:
            if name != wanted:
                yield path.child(name).forbidden("must populate the given metric source only")


def _object(source: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_reference(source.get("describedObject") or {}, path.describedObject)
    yield from _validate_identifier(source.get("metric") or {}, path.metric)
    target = source.get("target") or {}
    yield from _validate_target(target, path.target)
    if target.get("value") is None and target.get("averageValue") is None:
        yield path.target.averageValue.required("must set either a target value or averageValue")


def _external(source: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_identifier(source.get("metric") or {}, path.metric)
    target = source.get("target") or {}
    yield from _validate_target(target, path.target)
    given = [name for name in ("value", "averageValue") if target.get(name) is not None]
    if not given:
        text = "must set either a target value for metric or a per-pod target"
        yield path.target.averageValue.required(text)
    elif len(given) > 1:
        text = "may not set both a target value for metric and a per-pod target"
        yield path.target.value.forbidden(text)


def _pods(source: Object, path: Path) -> Iterator[FieldError]:
    yield from _validate_identifier(source.get("metric") or {}, path.metric)
    target = source.get("target") or {}
    yield from _validate_target(target, path.target)
    if not _is_positive(target.get("averageValue")):
        yield path.target.averageValue.required("must specify a positive target averageValue")


def _container_resource(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("name"):
        yield path.name.required("must specify a resource name")
    container = source.get("container", "")
    if not container:
        yield path.container.required("must specify a container")
    for text in names.dns_label(container) if container else ():
        yield path.container.invalid(container, text)
    yield from _use_target(source, path)


def _resource(source: Object, path: Path) -> Iterator[FieldError]:
    if not source.get("name"):
        yield path.name.required("must specify a resource name")
    yield from _use_target(source, path)


def _use_target(source: Object, path: Path) -> Iterator[FieldError]:
    """Of the use of a resource: a share of what is asked for, or an amount."""
    target = source.get("target") or {}
    yield from _validate_target(target, path.target)
    given = [name for name in ("averageUtilization", "averageValue") if target.get(name) is not None]
    if not given:
        text = f"must set either {_RAW_OR_UTILIZATION.format('or')}"
        yield path.target.averageUtilization.required(text)
    elif len(given) > 1:
        yield path.target.averageValue.forbidden(f"may not set both {_RAW_OR_UTILIZATION.format('and')}")


_CHECKS = {
    "containerResource": _container_resource,
    "external": _external,
    "object": _object,
    "pods": _pods,
    "resource": _resource,
}


def _validate_target(target: Object, path: Path) -> Iterator[FieldError]:
    kind = target.get("type", "")
    if not kind:
        yield path.type.required("must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield path.type.invalid(kind, "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue"):
        amount = target.get(name)
        if amount is not None and not _is_positive(amount):
            yield path.child(name).invalid(amount, _POSITIVE)
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        yield path.averageUtilization.invalid(share, "must be greater than 0")


def _validate_identifier(metric: Object, path: Path) -> Iterator[FieldError]:
    name = metric.get("name", "")
    if not name:
        yield path.name.required("must specify a metric name")
    for text in names.path_segment(name):
        yield path.name.invalid(name, text)


def _is_positive(amount: Any) -> bool:
    return amount is not None and quantity.sign(amount) > 0


def _validate_rules(rules: Object, path: Path) -> Iterator[FieldError]:
    window, choice = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        yield path.stabilizationWindowSeconds.invalid(window, "must be greater than or equal to zero")
    if window is not None and window > _MAX_WINDOW:
        text = f"must be less than or equal to {_MAX_WINDOW}"
        yield path.stabilizationWindowSeconds.invalid(window, text)
    if choice not in (None, "Disabled", "Max", "Min"):
        yield path.selectPolicy.not_supported(choice, ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        yield path.policies.required("must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or ()):
        yield from _validate_policy(policy, path.policies[index])
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.sign(tolerance) < 0:
        yield path.tolerance.invalid(tolerance, NEGATIVE)


def _validate_policy(policy: Object, path: Path) -> Iterator[FieldError]:
    kind, period = policy.get("type", ""), policy.get("periodSeconds", 0)
    if kind not in ("Percent", "Pods"):
        yield path.type.not_supported(kind, ("Percent", "Pods"))
    for name in ("value", "periodSeconds"):
        if policy.get(name, 0) <= 0:
            yield path.child(name).invalid(policy.get(name, 0), "must be greater than zero")
    if period > _MAX_PERIOD:
        yield path.periodSeconds.invalid(period, f"must be less than or equal to {_MAX_PERIOD}")
