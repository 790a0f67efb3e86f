"""What version 1 of HorizontalPodAutoscalers says in annotations, read by type.

Anybody may write these annotations, and what they say becomes fields of version 2. So what does not have the
form that upstream's `json.Unmarshal` accepts is read as nothing at all.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

from kplane.api.quantity import QuantityError, canonical
from kplane.api.resource import Object

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
_Amount = str | int | float | None


class _Requirement(TypedDict, total=False):
    key: str
    operator: str
    values: list[str] | None


class _Selector(TypedDict, total=False):
    matchLabels: dict[str, str] | None
    matchExpressions: list[_Requirement] | None


class _Reference(TypedDict, total=False):
    kind: str
    name: str
    apiVersion: str


class _Source(TypedDict, total=False):
    """Of any type of metric, wanted or measured."""

    name: str
    container: str
    target: _Reference
    metricName: str
    selector: _Selector | None
    metricSelector: _Selector | None
    averageValue: _Amount
    targetValue: _Amount
    targetAverageValue: _Amount
    targetAverageUtilization: _Int32 | None
    currentValue: _Amount
    currentAverageValue: _Amount
    currentAverageUtilization: _Int32 | None


class _Metric(TypedDict, total=False):
    type: str
    object: _Source | None
    pods: _Source | None
    resource: _Source | None
    containerResource: _Source | None
    external: _Source | None


class _Policy(TypedDict, total=False):
    type: str
    value: _Int32
    periodSeconds: _Int32


class _Rules(TypedDict, total=False):
    stabilizationWindowSeconds: _Int32 | None
    selectPolicy: str | None
    policies: list[_Policy] | None
    tolerance: _Amount


class _Behavior(TypedDict, total=False):
    scaleUp: _Rules | None
    scaleDown: _Rules | None


class _Condition(TypedDict, total=False):
    type: str
    status: str
    reason: str
    message: str
    lastTransitionTime: str | None


_AMOUNTS = frozenset(
    ("averageValue", "targetValue", "targetAverageValue", "currentValue", "currentAverageValue", "tolerance")
)


def read_metrics(annotation: str | None) -> list[Object]:
    """Version 1's flat form of metrics, wanted or measured."""
    return _read(annotation, list[_Metric]) or []


def read_conditions(annotation: str | None) -> list[Object]:
    return _read(annotation, list[_Condition]) or []


def read_behavior(annotation: str | None) -> Object:
    """Its fields begin with capitals there."""
    try:
        value = msgspec.json.decode(annotation) if annotation else None
        return _plain(msgspec.convert(_uncapitalised(value), _Behavior)) if value else {}
    except (msgspec.DecodeError, msgspec.ValidationError, QuantityError, RecursionError):
        return {}


def _read(annotation: str | None, form: Any) -> Any:
    try:
        return _plain(msgspec.json.decode(annotation, type=form)) if annotation else None
    except (msgspec.DecodeError, QuantityError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """Without nulls; amounts as upstream prints them. Raises QuantityError."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        name: canonical(entry) if name in _AMOUNTS else _plain(entry)
        for name, entry in value.items()
        if entry is not None
    }


def _uncapitalised(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _uncapitalised(entry) for name, entry in value.items()}
    return [_uncapitalised(entry) for entry in value] if isinstance(value, list) else value
