"""Which fields an object has, and which of them differ between two objects of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kplane.api.apply.fieldset import MEMBER, FieldSet, paths
from kplane.api.apply.shape import MissingKey, Shape
from kplane.api.resource import Object


class Comparison(NamedTuple):
    changed: FieldSet
    """What the new object adds, and what has another value in it."""
    removed: FieldSet


class DuplicateItem(ValueError):
    """Two items of one list have the same keys or, in a set, the same value."""


def fields_of(shape: Shape, obj: Object) -> FieldSet:
    """The set that applying `obj` claims. Raises DuplicateItem and MissingKey."""
    return _listed(shape, obj, members=False, strict=True)


def compare(shape: Shape, old: Object, new: Object) -> Comparison:
    """What became of `old` in `new`. Items of lists that lack a key are passed over."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    _compare(shape, old, new, changed, removed)
    return Comparison(changed, removed)


def indexed(shape: Shape, items: Sequence[Any], *, strict: bool = False) -> dict[str, Any]:
    """The items of a list by their path elements; of equal ones the last, or DuplicateItem."""
    result: dict[str, Any] = {}
    for item in items:
        try:
            element = shape.element(item)
        except MissingKey:
            if strict:
                raise
            continue
        if strict and element in result:
            raise DuplicateItem(f"duplicate entries for key {next(paths({element: MEMBER}))}")
        result[element] = item
    return result


def _listed(shape: Shape, value: Any, *, members: bool, strict: bool = False) -> FieldSet:
    """Everything below `value`. With `members` also every inner node, as where a write adds it as a whole;
    without, of these only items of lists and entries of maps."""
    fields: FieldSet = {".": MEMBER} if members else {}
    if shape.struct:
        steps = shape.steps
        for name, child in value.items():
            if (step := steps.get(name)) is None:
                continue
            element, inner = step
            if inner.leaf or not child:
                fields[element] = MEMBER
            else:
                fields[element] = _listed(inner, child, members=members, strict=strict)
        return fields
    if shape.named:
        entries = {f"f:{name}": child for name, child in value.items()}
    else:
        entries = indexed(shape, value, strict=strict)
    if shape.item.leaf:
        return fields | dict.fromkeys(entries, MEMBER)
    for element, child in entries.items():
        inner_fields = _listed(shape.item, child, members=members, strict=strict) if child else MEMBER
        fields[element] = inner_fields if members or not inner_fields else {".": MEMBER} | inner_fields
    return fields


def _whole(shape: Shape, value: Any) -> FieldSet:
    return _listed(shape, value, members=True) if value and not shape.leaf else MEMBER


def _compare(shape: Shape, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    named = shape.named
    if not named:
        old, new = indexed(shape, old), indexed(shape, new)
    for name, value in new.items():
        step = shape.step(name) if named else (name, shape.item)
        if step is None:
            continue
        element, inner = step
        was = old.get(name)
        if was is value or was == value:
            continue
        if was is None:
            changed[element] = _whole(inner, value)
        elif inner.leaf or value is None:
            changed[element] = MEMBER
        else:
            _descend(element, inner, was, value, changed, removed)
    for name, was in old.items():
        if name not in new and was is not None:
            step = shape.step(name) if named else (name, shape.item)
            if step is not None:
                removed[step[0]] = _whole(step[1], was)


def _descend(element: str, shape: Shape, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    inner_changed: FieldSet = {}
    inner_removed: FieldSet = {}
    _compare(shape, old, new, inner_changed, inner_removed)
    if inner_changed:
        changed[element] = inner_changed
    if inner_removed:
        removed[element] = inner_removed
