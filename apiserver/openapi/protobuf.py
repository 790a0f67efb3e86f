"""The v2 document in protobuf, the only form of it that kubectl and client-go read.

The messages are those of gnostic's `openapi.v2` package; field numbers are written beside the fields' names.
Extensions (`x-…`) and defaults travel as YAML texts, for which JSON is good enough.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from kplane.api.resource import Object

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients name in `Accept`."""
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the answer is labelled with: an `@` is not allowed in a media type."""

Encoder: TypeAlias = Callable[[Any], bytes]
"""A value to the payload of a field."""
Writer: TypeAlias = Callable[[Any], bytes]
"""A value to a whole field, with its number; to several, if the value is a list."""
Fields: TypeAlias = Mapping[str, Writer]


def encode(document: Object) -> bytes:
    """A v2 document as `openapi.v2.Document`."""
    return _message(document, _DOCUMENT)


class Pieces(NamedTuple):
    """Encoded paths and definitions by name: messages of which a document is put together."""

    paths: dict[str, bytes]
    definitions: dict[str, bytes]


def pieces(paths: Mapping[str, Object], definitions: Mapping[str, Object]) -> Pieces:
    return Pieces(
        {path: _path(item) for path, item in paths.items()},
        {name: _schema(schema) for name, schema in definitions.items()},
    )


def join(document: Object, parts: Iterable[Pieces]) -> bytes:
    """A document whose paths and definitions are those of the parts, and nothing else is."""
    paths: dict[str, bytes] = {}
    definitions: dict[str, bytes] = {}
    for part in parts:
        paths |= part.paths
        definitions |= part.definitions
    rest = {key: value for key, value in document.items() if key not in ("paths", "definitions")}
    same = bytes  # encoded already
    return (
        encode(rest)
        + _field(8, _map(2, same)(dict(sorted(paths.items()))))
        + _field(9, _map(1, same)(dict(sorted(definitions.items()))))
    )


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, payload: bytes) -> bytes:
    """A field of bytes: a string, or a message."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _flag(number: int) -> Writer:
    return lambda value: _varint(number << 3) + _varint(value)


def _number(number: int) -> Writer:
    return lambda value: _varint(number << 3 | 1) + struct.pack("<d", value)


def _count(number: int) -> Writer:
    return lambda value: _varint(number << 3) + _varint(value & 0xFFFFFFFFFFFFFFFF)


def _one(number: int, encoder: Encoder) -> Writer:
    return lambda value: _field(number, encoder(value))


def _many(number: int, encoder: Encoder) -> Writer:
    return lambda values: b"".join(_field(number, encoder(value)) for value in values)


def _text(number: int) -> Writer:
    return _one(number, str.encode)


def _texts(number: int) -> Writer:
    return _many(number, str.encode)


def _any(value: Any) -> bytes:
    """Any { yaml = 2 }"""
    return _field(2, msgspec.json.encode(value))


def _named(name: str, value: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, value)


def _map(number: int, encoder: Encoder) -> Encoder:
    """A message that holds nothing but named values, each as its field `number`."""

    def encode_map(value: Object) -> bytes:
        return b"".join(_field(number, _named(name, encoder(entry))) for name, entry in value.items())

    return encode_map


def _message(value: Object, fields: Fields, extensions: int = 0) -> bytes:
    """A message of named fields; `extensions` is the number of the field that takes the `x-` entries."""
    parts: list[bytes] = []
    for key, entry in value.items():
        if extensions and key.startswith("x-"):
            parts.append(_field(extensions, _named(key, _any(entry))))
        elif write := fields.get(key):
            parts.append(write(entry))
    return b"".join(parts)


def _schema(value: Object) -> bytes:
    return _message(value, _SCHEMA, extensions=31)


def _additional(value: Object | bool) -> bytes:
    """AdditionalPropertiesItem { schema = 1, boolean = 2 }"""
    if isinstance(value, bool):
        return _flag(2)(value)
    return _field(1, _schema(value))


def _parameter(value: Object) -> bytes:
    """ParametersItem { Parameter { BodyParameter = 1, NonBodyParameter = 2 { query = 3, path = 4 } } }"""
    match value["in"]:
        case "body":
            chosen = _field(1, _message(value, _BODY_PARAMETER))
        case "query":
            chosen = _field(2, _field(3, _message(value, _QUERY_PARAMETER)))
        case _:
            chosen = _field(2, _field(4, _message(value, _PATH_PARAMETER)))
    return _field(1, chosen)


def _response(value: Object) -> bytes:
    """ResponseValue { Response = 1 }"""
    return _field(1, _message(value, {"description": _text(1), "schema": _one(2, _one(1, _schema))}))


def _operation(value: Object) -> bytes:
    return _message(value, _OPERATION, extensions=13)


def _path(value: Object) -> bytes:
    return _message(value, _PATH_ITEM, extensions=10)


def _info(value: Object) -> bytes:
    return _message(value, _INFO)


def _api_key(value: Object) -> bytes:
    return _message(value, _API_KEY)


_SCHEMA: Fields = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "default": _one(5, _any),
    "multipleOf": _number(6),
    "maximum": _number(7),
    "exclusiveMaximum": _flag(8),
    "minimum": _number(9),
    "exclusiveMinimum": _flag(10),
    "maxLength": _count(11),
    "minLength": _count(12),
    "pattern": _text(13),
    "maxItems": _count(14),
    "minItems": _count(15),
    "uniqueItems": _flag(16),
    "maxProperties": _count(17),
    "minProperties": _count(18),
    "required": _texts(19),
    "enum": _many(20, _any),
    "additionalProperties": _one(21, _additional),
    "type": _one(22, _text(1)),
    "items": _one(23, _one(1, _schema)),
    "properties": _one(25, _map(1, _schema)),
}
_BODY_PARAMETER: Fields = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _flag(4),
    "schema": _one(5, _schema),
}
_PATH_PARAMETER: Fields = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(5),
    "uniqueItems": _flag(19),
}
_QUERY_PARAMETER: Fields = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
    "type": _text(6),
    "uniqueItems": _flag(20),
}
_OPERATION: Fields = {
    "tags": _texts(1),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": _many(8, _parameter),
    "responses": _one(9, _map(1, _response)),
    "schemes": _texts(10),
}
_PATH_ITEM: Fields = {
    "get": _one(2, _operation),
    "put": _one(3, _operation),
    "post": _one(4, _operation),
    "delete": _one(5, _operation),
    "options": _one(6, _operation),
    "head": _one(7, _operation),
    "patch": _one(8, _operation),
    "parameters": _many(9, _parameter),
}
_API_KEY: Fields = {"type": _text(1), "name": _text(2), "in": _text(3), "description": _text(4)}
_INFO: Fields = {"title": _text(1), "version": _text(2)}
_DOCUMENT: Fields = {
    "swagger": _text(1),
    "info": _one(2, _info),
    "paths": _one(8, _map(2, _path)),
    "definitions": _one(9, _map(1, _schema)),
    "securityDefinitions": _one(13, _map(1, _one(2, _api_key))),
}
