"""Uniqueness in lists: of the items of a set, of the keys of an associative list.

Rules: apiextensions `schema/listtype`. Each value is reported once, at its second appearance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from kplane.api.field import FieldError, Path
from kplane.api.structural.spec import Spec

Walk: TypeAlias = Callable[[Any, Path], Iterator[FieldError]]


def compile_lists(spec: Spec) -> Walk | None:
    """The check of the sets and associative lists somewhere in a value; None if the schema has none."""
    fields = {name: inner for name, child in spec.properties.items() if (inner := compile_lists(child))}
    items = compile_lists(spec.items) if spec.items is not None else None
    rest = compile_lists(spec.additional) if isinstance(spec.additional, Spec) else None
    own = {"set": _check_set, "map": _check_map}.get(spec.list_type)
    if not (fields or items or rest or own):
        return None

    def walk(value: Any, path: Path) -> Iterator[FieldError]:
        if type(value) is dict:
            for key, entry in value.items():
                if rest is not None:
                    yield from rest(entry, path[key])
                if key in fields:
                    yield from fields[key](entry, path.child(key))
        elif type(value) is list:
            if own is not None:
                yield from own(spec, value, path)
            if items is not None:
                for index, entry in enumerate(value):
                    yield from items(entry, path[index])

    return walk


def _check_set(spec: Spec, value: list[Any], path: Path) -> Iterator[FieldError]:
    for index in _repeated(value):
        yield path[index].duplicate(_sorted(value[index]))


def _check_map(spec: Spec, value: list[Any], path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(value):
        if item is not None and type(item) is not dict:
            yield path[index].invalid(item, "must be an object for an array of list-type map")
            return
    keys = [
        {key: item[key] for key in sorted(spec.list_keys) if key in item} if item else {} for item in value
    ]
    for index in _repeated(keys):
        yield path[index].duplicate(keys[index])


def _repeated(values: Iterable[Any]) -> Iterator[int]:
    times: dict[bytes, int] = {}
    for index, value in enumerate(values):
        text = msgspec.json.encode(value, order="sorted")
        times[text] = times.get(text, 0) + 1
        if times[text] == 2:
            yield index


def _sorted(value: Any) -> Any:
    """As Go prints it."""
    return msgspec.json.decode(msgspec.json.encode(value, order="sorted"))
