"""Kubernetes' envelope around a protobuf object: four bytes, then `runtime.Unknown`.

Wording: apimachinery `pkg/runtime/serializer/protobuf`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from kplane.api.decode_error import DecodeError
from kplane.api.protobuf import encoder
from kplane.api.protobuf.message import Message
from kplane.api.protobuf.table import Row

MAGIC = b"k8s\0"

_FIELDS = [
    Row(1, "", "io.k8s.apimachinery.pkg.runtime.TypeMeta", "inline", go_name="TypeMeta"),
    Row(2, "raw", "raw", go_name="Raw"),
    Row(3, "contentEncoding", "string", go_name="ContentEncoding"),
    Row(4, "contentType", "string", go_name="ContentType"),
]


class Envelope(NamedTuple):
    """What a body says of itself, each empty where it says nothing, and the object's own bytes."""

    api_version: str
    kind: str
    raw: bytes


@cache
def _unknown() -> Message:
    return Message("Unknown", _FIELDS)


@cache
def _written() -> encoder.Message:
    return encoder.Message(_FIELDS)


def wrap(envelope: Envelope) -> bytes:
    """The body that says what is in it."""
    fields = {"apiVersion": envelope.api_version, "kind": envelope.kind, "raw": envelope.raw}
    return MAGIC + _written().write(fields)


def unwrap(body: bytes) -> Envelope:
    """Raises DecodeError."""
    if not body:
        raise DecodeError("empty data")
    if not body.startswith(MAGIC):
        expected = " ".join(str(byte) for byte in MAGIC)
        text = f"provided data does not appear to be a protobuf message, expected prefix [{expected}]"
        raise DecodeError(text)
    if len(body) == len(MAGIC):
        raise DecodeError("empty body")
    fields = _unknown().whole(body, len(MAGIC))
    return Envelope(fields.get("apiVersion", ""), fields.get("kind", ""), fields["raw"] or b"")
