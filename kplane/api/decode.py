"""Request bodies into objects: JSON and YAML, with upstream's errors for what cannot be read.

Reads bytes, makes plain dicts. Types are judged by `check.py`, not here.

Invariant: whatever comes in, the only exception is `DecodeError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from kplane.api import json_syntax
from kplane.api.decode_error import MAX_CONTAINERS, DecodeError, too_complex
from kplane.api.resource import Object
from kplane.api.yaml_reader import YamlReader

__all__ = [
    "DecodeError",
    "bound",
    "decode_json",
    "decode_yaml",
    "decode_yaml_strictly",
    "duplicate_keys",
    "duplicate_yaml_keys",
    "in_order_of",
    "may_exceed",
    "unrecognized",
]

_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


def decode_json(body: bytes) -> Object:
    """The object that `body` holds; `null` is an empty one. Raises DecodeError."""
    value = _decode(body)
    bound(value, body)
    return _as_object(value)


def bound(value: Any, body: bytes) -> None:
    """Refuse what was decoded from `body` if it has too many parts. Raises DecodeError."""
    if not may_exceed(body):
        return
    # Brackets may stand inside of strings.
    found, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        items = part.values() if isinstance(part, dict) else part
        waiting += [item for item in items if isinstance(item, (dict, list))]
        found += 1
        if found > MAX_CONTAINERS:
            raise too_complex()


def may_exceed(body: bytes) -> bool:
    """Whether `bound` would have to look: each part has its bracket, which takes a byte."""
    return len(body) > MAX_CONTAINERS and body.count(b"{") + body.count(b"[") > MAX_CONTAINERS


def decode_yaml(body: bytes) -> Object:
    """The object of the first YAML document. Raises DecodeError."""
    return _as_object(YamlReader(body).value())


MAX_REPEATS = 100
"""Repeated keys that are reported, as many as upstream's decoder reports."""


def duplicate_keys(body: bytes, decoded: Object | None = None) -> list[str]:
    """Paths of keys that a JSON body repeats, in order, as strict decoding reports them: `spec.replicas`.

    `decoded`, unchanged, is what `decode_json` returned; with it the answer for a compact body is immediate.
    """
    # Encoding never repeats a key: bytes that come back the same repeat none.
    if decoded is not None and msgspec.json.encode(decoded) == body.rstrip():
        return []
    repeats = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        result = dict(pairs)
        repeats = repeats or len(result) != len(pairs)
        return result

    text = body.decode(errors="replace")
    json.loads(text, object_pairs_hook=note)
    if not repeats:
        return []
    return list(islice(_repeated(json.loads(text, object_pairs_hook=_Pairs), ""), MAX_REPEATS))


def in_order_of(body: bytes, faults: Sequence[str]) -> list[str]:
    """The texts of strict decoding about a JSON body, in the order in which Go's decoder comes upon them."""
    wanted = set(faults)
    found = _places(json.loads(body.decode(errors="replace"), object_pairs_hook=_Pairs), "")
    ordered = dict.fromkeys(
        text
        for place, repeats in found
        if (text := f'{"duplicate" if repeats else "unknown"} field "{place}"') in wanted
    )
    return [*ordered, *(text for text in faults if text not in ordered)]


def duplicate_yaml_keys(body: bytes) -> list[str]:
    """What strict decoding says of repeated keys of a YAML body: `line 3: key "a" already set in map`."""
    return decode_yaml_strictly(body)[1]


def decode_yaml_strictly(body: bytes) -> tuple[Object, list[str]]:
    """The object of the first YAML document, and what strict decoding says of its repeated keys, from one
    reading. Raises DecodeError."""
    reader = YamlReader(body)
    value = _as_object(reader.value())
    return value, reader.duplicates[:MAX_REPEATS]


def unrecognized(kind: str, error: str, body: bytes) -> str:
    """The message of the 400 for a body that cannot be read at all."""
    return f"the object provided is unrecognized (must be of type {kind}): {error} ({_summary(body)})"


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        text = body[:30].decode(errors="replace")
        return f"{text} ..." if len(body) > 30 else text
    return f"{body[:30].hex()} ..." if len(body) > 30 else body.hex()


def _as_object(value: Any) -> Object:
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    kind = "array" if isinstance(value, list) else _scalar_kind(value)
    raise DecodeError(
        "couldn't get version/kind; json parse error: "
        f"json: cannot unmarshal {kind} into Go value of type {_TYPE_META}"
    )


def _scalar_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode(errors="replace")
    except RecursionError as error:
        raise DecodeError("couldn't get version/kind; json parse error: exceeded max depth") from error
    if fault := json_syntax.fault(text):
        raise DecodeError(f"couldn't get version/kind; json parse error: {fault}")
    # Only bytes that are not UTF-8 come here: Go reads them as replacement characters.
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DecodeError(f"couldn't get version/kind; json parse error: {error}") from error


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its repeated keys."""


def _repeated(value: Any, path: str) -> Iterator[str]:
    return (place for place, repeats in _places(value, path) if repeats)


def _places(value: Any, path: str) -> Iterator[tuple[str, bool]]:
    """The path of every key, and whether it has stood in its object before."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            place = f"{path}.{key}" if path else key
            yield place, key in seen
            seen.add(key)
            yield from _places(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{path}[{index}]")
