"""Sets of fields, in the very form in which `fieldsV1` stores them: a tree of path elements.

    {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}

A path is in the set where its node is empty or holds `"."`. The root is no path: an empty root is the empty
set. Elements: `f:` a field, `k:` an item by its keys, `v:` an item by its value, `i:` an item by its index.

Invariant: no function changes its arguments; results share parts with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

FieldSet: TypeAlias = "dict[str, Any]"

MAX_DEPTH = 100
"""Of sets from outside; no built-in kind comes near it."""

MEMBER: FieldSet = {}
"""A path that is in the set, none below it."""
_SELF: FieldSet = {".": MEMBER}


def is_member(inner: FieldSet) -> bool:
    """Whether the path that leads to this node is in the set."""
    return not inner or "." in inner


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return a or b
    result = dict(a)
    for element, other in b.items():
        mine = result.get(element)
        if mine is None:
            result[element] = other
        elif mine is not other and element != ".":
            result[element] = _packed(union(mine or _SELF, other or _SELF))
    return result


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or not b:
        return a
    result: FieldSet = {}
    for element, mine in a.items():
        other = b.get(element)
        if other is None:
            result[element] = mine
        elif element != "." and (rest := difference(mine or _SELF, other or _SELF)):
            result[element] = _packed(rest)
    return result


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    result: FieldSet = {}
    for element, mine in a.items():
        other = b.get(element)
        if other is None:
            continue
        if element == ".":
            result[element] = MEMBER
        elif rest := intersection(mine or _SELF, other or _SELF):
            result[element] = _packed(rest)
    return result


def _packed(inner: FieldSet) -> FieldSet:
    """A member without anything below it is written as an empty node."""
    return MEMBER if len(inner) == 1 and "." in inner else inner


def packed(fields: FieldSet, depth: int = MAX_DEPTH) -> FieldSet:
    """The canonical form of a set that came from outside. Raises ValueError for what is none."""
    if depth == 0:
        raise ValueError("fieldsV1: too deep")
    result: FieldSet = {}
    for element, inner in fields.items():
        if not isinstance(inner, dict):
            raise ValueError(f"fieldsV1: {element}: not an object")
        _check_element(element)
        result[element] = _packed(packed(inner, depth - 1))
    return result


def _check_element(element: str) -> None:
    kind, text = element[:2], element[2:].encode()
    try:
        match kind:
            case "k:":
                msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            case "v:" | "i:":
                msgspec.json.decode(text)
            case _ if kind not in ("f:", "."):
                raise ValueError(f"fieldsV1: {element}: unknown path element")
    except msgspec.DecodeError as error:
        raise ValueError(f"fieldsV1: {element}: {error}") from error


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """The paths as messages show them: `.spec.containers[name="c"].image`. Members before what is below."""
    for element, inner in fields.items():
        if element != "." and is_member(inner):
            yield prefix + _shown(element)
    for element, inner in fields.items():
        if element != "." and inner:
            yield from paths(inner, prefix + _shown(element))


def _shown(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys = msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])
        return "[" + ",".join(f"{name}={bytes(value).decode()}" for name, value in keys.items()) + "]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"
