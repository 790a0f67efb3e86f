"""Dropping the fields that a schema does not specify.

A pruner changes a dict or list in place and returns the paths of what it dropped, relative to that value:
`.foo`, `[0].bar`. Nothing is put together for an object without unknown fields. Rules: apiextensions
`schema/pruning`.

Invariants: pruning twice drops nothing the second time; scalars are never touched; beneath
`x-kubernetes-preserve-unknown-fields` only what the schema specifies is looked into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kplane.api.structural.embedded import coerce_metadata
from kplane.api.structural.spec import META_FIELDS, Spec

Pruner: TypeAlias = Callable[[Any], list[str] | None]
"""Takes a dict or a list."""


def compile_pruner(spec: Spec, root: bool = False, coerce: bool = True) -> Pruner:
    """The pruner of a schema. At the root, as in embedded resources, type and metadata are always kept.

    `coerce`: whether the metadata of embedded resources loses what is no field of ObjectMeta.
    """
    if not (
        root or spec.embedded or spec.preserve or spec.properties or spec.items or spec.additional is not None
    ):
        return prune_all
    known, rest = _children(spec, root, coerce)
    if spec.preserve:
        return _preserving(known, rest, spec, coerce)
    items = compile_pruner(spec.items, coerce=coerce) if spec.items is not None else prune_all

    def prune(value: Any) -> list[str] | None:
        if type(value) is list:
            return _prune_items(value, items)
        found: list[str] | None = None
        dropped: list[str] | None = None
        for key, entry in value.items():
            child = known.get(key, rest)
            if child is None:
                dropped = dropped or []
                dropped.append(key)
            elif type(entry) is dict or type(entry) is list:
                inner = child(entry)
                if inner:
                    found = _beneath(f".{key}", inner, found)
        if dropped:
            for key in dropped:
                del value[key]
            found = found or []
            found += [f".{key}" for key in dropped]
        return found

    return prune


def _beneath(step: str, inner: list[str], found: list[str] | None) -> list[str]:
    """`found`, with the paths of a child."""
    found = found or []
    found += [step + path for path in inner]
    return found


def _children(spec: Spec, root: bool, coerce: bool) -> tuple[dict[str, Pruner], Pruner | None]:
    """The pruners of an object's fields, and of its other entries; None if it may have none."""
    known = {name: compile_pruner(child, coerce=coerce) for name, child in spec.properties.items()}
    if root or spec.embedded:
        known.update(dict.fromkeys(META_FIELDS, _keep))
    if spec.embedded and coerce and not root:
        known["metadata"] = coerce_metadata
    if isinstance(spec.additional, Spec):
        return known, compile_pruner(spec.additional, coerce=coerce)
    return known, prune_all if spec.additional is not None else None


def _preserving(known: dict[str, Pruner], rest: Pruner | None, spec: Spec, coerce: bool) -> Pruner:
    """Where unknown fields are preserved, in the items of a list too."""
    items: Pruner = _keep
    if spec.items is not None:
        items = _preserving(*_children(spec.items, False, coerce), spec.items, coerce)

    def prune(value: Any) -> list[str] | None:
        if type(value) is list:
            return _prune_items(value, items)
        found: list[str] | None = None
        for key, entry in value.items():
            child = known.get(key, rest)
            if child is not None and (type(entry) is dict or type(entry) is list):
                inner = child(entry)
                if inner:
                    found = _beneath(f".{key}", inner, found)
        return found

    return prune


def _prune_items(value: list[Any], items: Pruner) -> list[str] | None:
    found: list[str] | None = None
    for index, entry in enumerate(value):
        if type(entry) is dict or type(entry) is list:
            inner = items(entry)
            if inner:
                found = _beneath(f"[{index}]", inner, found)
    return found


def _keep(value: Any) -> list[str] | None:
    return None


def prune_all(value: Any) -> list[str] | None:
    """Empty every object in a value without a schema; lists keep their length."""
    found: list[str] = []
    pending: list[tuple[str, Any]] = [("", value)]
    # A value of no schema may be nested without bound: no recursion.
    while pending:
        path, entry = pending.pop()
        if type(entry) is dict:
            found += [f"{path}.{key}" for key in entry]
            entry.clear()
        elif type(entry) is list:
            pending += [(f"{path}[{index}]", inner) for index, inner in enumerate(entry)]
    return found or None
