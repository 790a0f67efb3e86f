"""Between objects and the bytes of the store, and between those and the bytes on the wire.

Stored JSON begins `{"kind":…,"apiVersion":…,"metadata":{` and carries no resourceVersion, which is known
only once the write has happened; it is spliced in behind `"metadata":{` on the way out. Values that others
wrote into the store (other order, white space) are decoded and encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

import msgspec

from kplane.api.resource import Object

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Object] = msgspec.json.Decoder(Object)

_HEAD = re.compile(rb'\{"kind":"[^"\\]*","apiVersion":"[^"\\]*","metadata":\{')
_REVISION = b'"resourceVersion":"'
_STAMPED = re.compile(_HEAD.pattern + rb'"resourceVersion":"(\d+)"(,?)')


_ESCAPES = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
)
_FOREIGN_ESCAPES = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)
"""They stand in strings alone, so that bytes may be replaced without looking."""


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """The part of metadata that every cache needs."""

    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    metadata: Metadata


_head_decoder = msgspec.json.Decoder(_Head)


def encode(obj: Object) -> bytes:
    """Bytes for the store. The object is not changed."""
    metadata = dict(obj["metadata"])
    metadata.pop("resourceVersion", None)
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    rest = {name: value for name, value in obj.items() if name not in ordered}
    return escaped(_encoder.encode(ordered | rest))


def escaped(data: bytes) -> bytes:
    """JSON as Go's encoder writes it, with escapes for letters that mean something in HTML. Upstream's
    controllers compare a ControllerRevision's data byte by byte with what they would write."""
    # Most objects are ASCII, which is known at once; to look for more than one byte takes ten times as long.
    for letter, escape in _ESCAPES if data.isascii() else (*_ESCAPES, *_FOREIGN_ESCAPES):
        if letter in data:
            data = data.replace(letter, escape)
    return data


def decode(data: bytes) -> Object:
    """The object of stored or wire bytes. Raises msgspec.DecodeError."""
    return _decoder.decode(data)


def reader(paths: Iterable[str]) -> Callable[[bytes], Object]:
    """A `decode` that builds nothing but the labels and these paths, e.g. `spec.nodeName`: a fifth of the
    work. It raises msgspec.MsgspecError."""
    tree: dict[str, Any] = {"metadata": {"labels": {}}}
    for path in paths:
        inner = tree
        for name in path.split("."):
            inner = inner.setdefault(name, {})
    return msgspec.json.Decoder(_part(tree)).decode


def _part(tree: dict[str, Any]) -> Any:
    """The type of an object of which only these fields are read."""
    made: Any = TypedDict
    return made(
        "Part", {name: _part(inner) | None if inner else Any for name, inner in tree.items()}, total=False
    )


def metadata(data: bytes) -> Metadata:
    """Labels and uid of stored or wire bytes, without building the rest. Raises msgspec.DecodeError if they
    are no object."""
    return _head_decoder.decode(data).metadata


def wire(stored: bytes, revision: int) -> bytes:
    """Stored bytes with resourceVersion in them. Raises msgspec.DecodeError."""
    head = _HEAD.match(stored)
    if head is None or (_REVISION in stored and metadata(stored).resource_version):
        metadata(stored)
        stored = encode(_decoder.decode(stored))
        head = _HEAD.match(stored)
        assert head is not None
    return _stamp(stored, head.end(), revision)


def restamp(data: bytes, revision: int) -> bytes:
    """Wire bytes with another resourceVersion."""
    stamped = _STAMPED.match(data)
    assert stamped is not None
    start, end = stamped.span(1)
    return b"%s%d%s" % (data[:start], revision, data[end:])


def stored(data: bytes) -> bytes:
    """Wire bytes without their resourceVersion, as `encode` would have made them."""
    stamped = _STAMPED.match(data)
    assert stamped is not None
    return data[: stamped.start(1) - len(_REVISION)] + data[stamped.end() :]


def _stamp(data: bytes, at: int, revision: int) -> bytes:
    comma = b"" if data[at : at + 1] == b"}" else b","
    return b'%s"resourceVersion":"%d"%s%s' % (data[:at], revision, comma, data[at:])
