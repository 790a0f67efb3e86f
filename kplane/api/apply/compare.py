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
    return _listed(shape, obj)


def compare(shape: Shape, old: Object, new: Object) -> Comparison:
    """What became of `old` in `new`. Items of lists that lack a key are passed over."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    _compare(shape, old, new, changed, removed)
    return Comparison(changed, removed)


def created(shape: Shape, new: Object) -> FieldSet:
    """What `compare` finds changed in an object that nobody has written to before."""
    return _created(shape, shape.zero, new)


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


def _listed(shape: Shape, value: Any) -> FieldSet:
    """Everything below `value`; of the inner nodes only items of lists and entries of maps."""
    fields: FieldSet = {}
    if shape.struct:
        steps = shape.steps
        for name, child in value.items():
            if (step := steps.get(name)) is not None:
                element, inner = step
                fields[element] = MEMBER if inner.leaf or not child else _listed(inner, child)
        return fields
    if shape.named:
        entries = {f"f:{name}": child for name, child in value.items()}
    else:
        entries = indexed(shape, value, strict=True)
    if shape.item.leaf:
        return dict.fromkeys(entries, MEMBER)
    for element, child in entries.items():
        inner_fields = _listed(shape.item, child) if child else MEMBER
        fields[element] = {".": MEMBER} | inner_fields if inner_fields else MEMBER
    return fields


def _whole(shape: Shape, value: Any) -> FieldSet:
    """What a write owns that adds `value` as a whole: everything in it, and every inner node."""
    if not value or shape.leaf:
        return MEMBER
    if not shape.named:
        return _whole_list(shape, value)
    planned, branches = shape.plans[tuple(value)]
    if not branches:
        return planned
    fields = planned.copy()
    for name, element, inner in branches:
        if child := value[name]:
            fields[element] = _whole(inner, child)
    return fields


def _whole_list(shape: Shape, value: Sequence[Any]) -> FieldSet:
    fields: FieldSet = {".": MEMBER}
    inner, elements, key = shape.item, shape.elements, shape.key
    for item in value:
        if key and type(text := item.get(key)) is str:
            element = elements[text]
        else:
            try:
                element = shape.element(item)
            except MissingKey:
                continue
        fields[element] = _whole(inner, item)
    return fields


def _added(shape: Shape, new: Any) -> FieldSet:
    """What `_compare` finds where nothing was before; null is nothing, too."""
    if shape.named:
        if None in new.values():
            new = {name: value for name, value in new.items() if value is not None}
    elif None in new:
        new = [item for item in new if item is not None]
    return {element: inner for element, inner in _whole(shape, new).items() if element != "."}


def _created(shape: Shape, zero: Any, new: Any) -> FieldSet:
    """What `_compare` finds in an object that is new, where before it only `zero` was."""
    if not zero or not shape.struct or None in new.values():
        changed: FieldSet = {}
        _compare(shape, zero, new, changed, {})
        return changed
    planned, branches = shape.plans[tuple(new)]
    fields = planned.copy()
    del fields["."]
    for name, element, inner in branches:
        was = zero.get(name)
        if was is None:
            fields[element] = _whole(inner, new[name])
        elif below := _created(inner, was, new[name]):
            fields[element] = below
        else:
            del fields[element]
    return fields


def _compare(shape: Shape, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    if not old:
        changed |= _added(shape, new)
        return
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
