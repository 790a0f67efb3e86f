"""Filling in a schema's defaults.

A defaulter changes a dict or list in place: nulls that are not allowed are dropped or replaced by the
default, missing fields get theirs, then the values, new ones included, are defaulted in turn. Rules:
apiextensions `schema/defaulting`.

Invariants: defaulting twice changes nothing the second time; each default that is handed out is a fresh copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from kplane.api.structural.pruning import compile_pruner
from kplane.api.structural.spec import Spec

Defaulter: TypeAlias = Callable[[Any], None]
"""Takes a dict or a list."""

_Make: TypeAlias = Callable[[], Any]


def compile_defaulter(spec: Spec) -> Defaulter:
    makers = {name: make for name, child in spec.properties.items() if (make := maker(child)) is not None}
    nested = {name: compile_defaulter(child) for name, child in spec.properties.items() if _walks(child)}
    missing = tuple(makers.items())
    rest = spec.additional if isinstance(spec.additional, Spec) else None
    rest_nested = compile_defaulter(rest) if rest is not None and _walks(rest) else None
    items = _items(spec)
    names = frozenset(spec.properties)

    def default(value: Any) -> None:
        if type(value) is list:
            items(value)
            return
        nulls: list[str] | None = None
        for key, entry in value.items():
            if entry is None:
                nulls = nulls or []
                nulls.append(key)
        if nulls:
            _replace_nulls(value, nulls, spec)
        for key, make in missing:
            if key not in value:
                value[key] = make()
        for key, entry in value.items():
            if type(entry) is dict or type(entry) is list:
                child = nested.get(key)
                if child is None and rest_nested is not None and key not in names:
                    child = rest_nested
                if child is not None:
                    child(entry)

    return default


def maker(spec: Spec) -> _Make | None:
    """What makes a copy of a schema's default, without fields that the schema does not specify."""
    value = spec.default
    if value is None:
        return None
    if not isinstance(value, (dict, list)):
        return lambda: value
    copy = msgspec.json.decode(msgspec.json.encode(value))
    compile_pruner(spec, coerce=False)(copy)
    text = msgspec.json.encode(copy)
    decoder = msgspec.json.Decoder()
    return lambda: decoder.decode(text)


def _replace_nulls(value: dict[str, Any], keys: list[str], spec: Spec) -> None:
    for key in keys:
        child = spec.child(key)
        if child is None or child.nullable:
            continue
        if child.default is None:
            del value[key]
        elif (make := maker(child)) is not None:
            value[key] = make()


def _items(spec: Spec) -> Callable[[list[Any]], None]:
    child = spec.items
    if child is None:
        return lambda value: None
    make = None if child.nullable else maker(child)
    inner = compile_defaulter(child) if _walks(child) else None

    def default(value: list[Any]) -> None:
        for index, entry in enumerate(value):
            if entry is None and make is not None:
                entry = value[index] = make()
            if inner is not None and (type(entry) is dict or type(entry) is list):
                inner(entry)

    return default


def _walks(spec: Spec) -> bool:
    """Whether a value of this schema may hold anything to be defaulted, or a null to be dropped."""
    return bool(spec.properties) or spec.items is not None or isinstance(spec.additional, Spec)
