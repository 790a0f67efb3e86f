"""Taints of devices, what tolerates them, and the conditions that binding to a device waits for."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..labels import validate_key
from .entries import validate_list

MAX_TAINTS = 16
_MAX_CONDITIONS = 4
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_OPERATORS = ("Equal", "Exists")


def validate_taint(taint: Object, old: Object | None, path: Path) -> Iterator[FieldError]:
    """`old`: as it was before; an effect that is kept is not looked at again."""
    yield from validate_key(taint.get("key", ""), path.key)
    if value := taint.get("value"):
        yield from _validate_value(value, path.value)
    effect = taint.get("effect", "")
    if old is not None and old.get("effect", "") == effect:
        return
    if not effect:
        yield path.effect.required()
    elif effect not in _EFFECTS:
        yield path.effect.not_supported(effect, _EFFECTS)


def validate_tolerations(tolerations: list[Object], path: Path) -> Iterator[FieldError]:
    yield from validate_list(tolerations, MAX_TAINTS, _validate_toleration, path)


def _validate_toleration(toleration: Object, path: Path) -> Iterator[FieldError]:
    if key := toleration.get("key"):
        yield from validate_key(key, path.key)
    operator, value = toleration.get("operator", ""), toleration.get("value", "")
    match operator:
        case "Exists":
            if value:
                yield path.value.invalid(value, "must be empty for operator `Exists`")
        case "Equal":
            yield from _validate_value(value, path.value)
        case "":
            yield path.operator.required()
        case _:
            yield path.operator.not_supported(operator, _OPERATORS)
    effect = toleration.get("effect")
    if effect and effect not in _EFFECTS:
        yield path.effect.not_supported(effect, _EFFECTS)


def _validate_value(value: str, path: Path) -> Iterator[FieldError]:
    for text in names.label_value(value):
        yield path.invalid(value, text)


def validate_binding(obj: Object, path: Path) -> Iterator[FieldError]:
    """`bindingConditions` and `bindingFailureConditions`: both or none, and nothing in both."""
    wanted = obj.get("bindingConditions") or []
    unwanted = obj.get("bindingFailureConditions") or []
    yield from validate_list(wanted, _MAX_CONDITIONS, validate_key, path.bindingConditions)
    yield from validate_list(unwanted, _MAX_CONDITIONS, validate_key, path.bindingFailureConditions)
    for listed, here in ((wanted, path.bindingConditions), (unwanted, path.bindingFailureConditions)):
        for index, name in enumerate(listed):
            if name in listed[:index]:
                yield here[index].duplicate(name)
            if listed is unwanted and name in wanted:
                text = "bindingFailureConditions must not overlap with bindingConditions"
                yield here[index].invalid(name, text)
    if unwanted and not wanted:
        text = "bindingConditions are required to use bindingFailureConditions"
        yield path.bindingConditions.invalid(wanted, text)
    if wanted and not unwanted:
        text = "bindingFailureConditions are required to use bindingConditions"
        yield path.bindingFailureConditions.invalid(unwanted, text)
