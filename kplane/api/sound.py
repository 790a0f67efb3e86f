"""Sound bodies, read and judged in one go: those in which `check` would find nothing to report.

A definition becomes a type of msgspec's, whose decoder judges in C what `check` judges in Python. A body that
it refuses may be as good as any (an empty list, an unknown field): it is read again, by `decode` and
`check`, which know what to drop and what to say.

Invariant: `decode_sound` returns None, or what `decode_json` and then `check` make of a body without faults
and repeated keys.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, TypedDict, Union

import msgspec

from kplane.api.check import check, mended
from kplane.api.decode import may_exceed
from kplane.api.resource import Object
from kplane.api.schema import Node, node

_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_FILLED = msgspec.Meta(min_length=1)


class _Unjudged(Exception):
    """There is no type of msgspec's for this definition."""


def decode_sound(body: bytes, definition: str) -> Object | None:
    """The object of this definition that `body` holds in JSON, if it is sound."""
    decoder = _decoder(definition)
    if decoder is None or may_exceed(body):
        return None
    try:
        obj: Object = decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not _holds_all(obj, body):
        return None
    if b"null" in body:
        # Drops them, and finds no fault.
        check(obj, node(definition))
    return obj


def _holds_all(obj: Object, body: bytes) -> bool:
    """Whether nothing of `body` was left out: no unknown field, no repeated key.

    Each key has two quotation marks, and what is left out takes its own with it. Those within strings are
    written alike on both sides.
    """
    encoded = msgspec.json.encode(obj)
    if encoded == body:
        return True
    if encoded.count(b'"') != body.count(b'"'):
        return False
    return b"\\" not in body or b"\\u0022" not in body


@cache
def _decoder(definition: str) -> msgspec.json.Decoder[Any] | None:
    try:
        return msgspec.json.Decoder(_type(node(definition), ()), dec_hook=_mend)
    except _Unjudged:
        return None


class _SelfRead(type):
    """Of types whose values are strings that `check` reads, and may write anew."""

    node: Node

    def __instancecheck__(cls, value: object) -> bool:
        return type(value) is str


def _mend(kind: Any, value: Any) -> Any:
    if type(value) is not str:
        # A number that becomes a string would hide that a field was left out: see `_holds_all`.
        raise ValueError(value)
    return mended(value, kind.node)


def _type(node: Node, above: tuple[int, ...]) -> Any:
    """`above`: the definitions that this one stands in. Raises _Unjudged."""
    match node.kind:
        case "object" if node.preserve_unknown and not node.fields:
            return dict[str, Any]
        case "object" if not node.preserve_unknown:
            return _object(node, above)
        case "map" if node.item is not None:
            return dict[str, _type(node.item, above)]  # type: ignore[misc]
        case "list" if node.item is not None:
            return list[_type(node.item, above)]  # type: ignore[misc]
        case "string":
            return str
        case "boolean":
            return bool
        case "integer":
            return _INT32 if node.format == "int32" else _INT64
        case "int-or-string":
            return _INT32 | str
        case "any":
            return Any
        case "quantity" | "date-time" | "bytes":
            return _SelfRead(node.kind, (), {"node": node})
    raise _Unjudged


_made: dict[int, Any] = {}
"""By the identity of its fields, which all places share where a definition stands."""


def _object(node: Node, above: tuple[int, ...]) -> Any:
    assert node.fields is not None
    key = id(node.fields)
    if key in above:
        # msgspec finds what a type refers to only among the names of a module.
        raise _Unjudged
    if key not in _made:
        fields = {name: _field(name, child, node, (*above, key)) for name, child in node.fields.items()}
        _made[key] = TypedDict(node.go_type, fields, total=False)  # type: ignore[operator]
    return _made[key]


def _field(name: str, node: Node, parent: Node, above: tuple[int, ...]) -> Any:
    """Empty lists and maps are refused where they may be absent: `check` drops them. Of nulls, which it drops
    as well, those of Go's older clients are taken: times that are not set."""
    kind = _type(node, above)
    if node.kind == "date-time":
        return Union[kind, None]  # noqa: UP007
    optional = node.kind in ("list", "map") and name not in parent.required
    return Annotated[kind, _FILLED] if optional else kind
