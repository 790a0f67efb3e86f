"""Which definitions a document needs: those that its operations name, and all that these refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from kplane.api.schema import Schema, definition

from .operations import TEXT, PathItem

Lookup: TypeAlias = Callable[[str], Schema]
_PREFIX = "#/definitions/"


def lookup(custom: Mapping[str, Schema]) -> Lookup:
    """Finds a definition by name, first among those of custom resources."""

    def find(name: str) -> Schema:
        return custom.get(name) or definition(name)

    return find


def named(items: Iterable[PathItem]) -> Iterator[str]:
    """The definitions that operations name themselves."""
    for item in items:
        for operation in item.operations:
            yield from (
                name for name in (operation.body, *operation.answers.values()) if name not in ("", TEXT)
            )


def reachable(roots: Iterable[str], find: Lookup) -> dict[str, Schema]:
    """The definitions of these names and of whatever they refer to, by name, sorted."""
    found: dict[str, Schema] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = find(name)
            waiting += references(found[name])
    return dict(sorted(found.items()))


def references(schema: Schema) -> Iterator[str]:
    """The names that a schema refers to."""
    for key, value in schema.items():
        if key == "$ref":
            yield value.removeprefix(_PREFIX)
        elif key == "properties":
            for prop in value.values():
                yield from references(prop)
        elif isinstance(value, dict):
            yield from references(value)
