"""Objects as protobuf, for clients that take nothing else: bodies, and the frames of watches.

Elsewhere: who gets them (`negotiation.py`), how messages are written (`kplane.api.protobuf`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from kplane.api import protobuf
from kplane.api.resource import Object
from kplane.api.schema import META
from kplane.api.scheme import builtin

_META_KINDS = ("Status", "PartialObjectMetadata", "PartialObjectMetadataList")


def body(obj: Object, rest: bytes = b"") -> bytes:
    """An object in its envelope. `rest` is more of its fields, written already."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    raw = protobuf.encode(obj, definition_of(api_version, kind)) + rest
    return protobuf.wrap(protobuf.Envelope(api_version, kind, raw))


def read(body: bytes) -> Object:
    """The way back."""
    found = protobuf.unwrap(body)
    obj = protobuf.decode(found.raw, definition_of(found.api_version, found.kind))
    return {"kind": found.kind, "apiVersion": found.api_version} | obj


def items(listing: Object, part: Sequence[Object]) -> bytes:
    """Some of a list's items, as they stand in its message."""
    return protobuf.encode_field("items", part, definition_of(listing["apiVersion"], listing["kind"]))


def frame(event_type: str, obj: Object) -> bytes:
    """An event of a watch, behind its length (four bytes, the highest first)."""
    event = protobuf.encode_event(event_type, body(obj))
    return len(event).to_bytes(4) + event


@cache
def definition_of(api_version: str, kind: str) -> str:
    """The name of a built-in kind's message. Raises KeyError for a version that is not built in."""
    if kind in _META_KINDS:
        return META + kind
    return f"{_packages()[api_version]}.{kind}"


@cache
def _packages() -> dict[str, str]:
    """By group and version: what precedes a kind in the names of definitions."""
    return {row.api_version: row.definition.rpartition(".")[0] for row in builtin().rows.values()}
