"""An encoder, the other direction of what is under test: writes what Go's generated code writes."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from kplane.api.protobuf import MAGIC
from kplane.api.protobuf.special import SPECIAL
from kplane.api.protobuf.table import Row, rows
from kplane.api.schema import META, QUANTITY, RAW_EXTENSION
from kplane.api.scheme import ResourceInfo

SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    text = bytearray()
    while value >= 0x80:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*text, value])


def sized(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def numeric(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(int(value))


def encode_message(value: Any, message: str) -> bytes:
    """A JSON value as the message of a type."""
    if message in SPECIAL:
        return b"".join(_special(value, message))
    return b"".join(_field(row, value) for row in rows(message))


def _field(row: Row, value: Any) -> bytes:
    if row.shape == "inline":
        return sized(row.number, encode_message(value, row.type))
    inner = value if not row.name else value.get(row.name)
    if inner is None:
        return b""
    match row.shape:
        case "list":
            return b"".join(_value(row.number, item, row.type) for item in inner)
        case "map":
            entries = (_value(1, key, "string") + _value(2, item, row.type) for key, item in inner.items())
            return b"".join(sized(row.number, entry) for entry in entries)
    return _value(row.number, inner, row.type)


def _value(number: int, value: Any, kind: str) -> bytes:
    match kind:
        case "bool" | "int32" | "int64":
            return numeric(number, value)
        case "double":
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case "string":
            return sized(number, value.encode())
        case "bytes":
            return sized(number, base64.b64decode(value))
    return sized(number, encode_message(value, kind))


def _special(value: Any, message: str) -> Iterator[bytes]:
    if value is None:
        return
    if message == QUANTITY:
        yield sized(1, value.encode())
    elif message == INT_OR_STRING:
        text = isinstance(value, str)
        yield numeric(1, text) + numeric(2, 0 if text else value) + sized(3, value.encode() if text else b"")
    elif message in (f"{META}Time", f"{META}MicroTime"):
        moment = datetime.fromisoformat(value)
        yield numeric(1, int(moment.timestamp() // 1)) + numeric(2, moment.microsecond * 1000)
    elif message == f"{SCHEMA}OrBool":
        yield numeric(1, value) if isinstance(value, bool) else sized(2, encode_message(value, SCHEMA))
    elif message.startswith(f"{SCHEMA}Or"):
        of = "string" if message.endswith("StringArray") else SCHEMA
        many = isinstance(value, list)
        yield from (_value(2, item, of) for item in value) if many else [_value(1, value, SCHEMA)]
    else:
        yield sized(1, msgspec.json.encode(value))


def sample(message: str, seen: tuple[str, ...] = ()) -> Any:
    """A JSON value of a message in which every field has something; nothing within itself."""
    if message in _SAMPLES:
        return _SAMPLES[message]
    value: dict[str, Any] = {}
    for row in rows(message):
        if row.type in seen:
            continue
        item = sample(row.type, (*seen, message)) if "." in row.type else _SAMPLES[row.type]
        match row.shape:
            case "inline":
                value |= item
            case "list":
                value[row.name] = [item, item]
            case "map":
                value[row.name] = {"one": item, "two": item}
            case _:
                value[row.name] = item
    return value.get("", value)


_SAMPLES: dict[str, Any] = {
    "string": "text", "bytes": "dGV4dA==", "bool": True, "int32": -7, "int64": 1 << 40,
    QUANTITY: "1500m", INT_OR_STRING: "25%", f"{META}Time": "2026-01-02T03:04:05Z",
    f"{META}MicroTime": "2026-01-02T03:04:05.000006Z", RAW_EXTENSION: {"a": [1]},
    f"{META}FieldsV1": {"f:a": {}}, "double": 0.5, SCHEMA.replace("SchemaProps", ""): {"a": [1]},
    f"{SCHEMA}OrBool": False, f"{SCHEMA}OrArray": {"type": "string"},
    f"{SCHEMA}OrStringArray": ["one", "two"],
}  # fmt: skip


def envelope(raw: bytes, api_version: str = "", kind: str = "") -> bytes:
    """The body that holds an encoded object."""
    type_meta = sized(1, api_version.encode()) + sized(2, kind.encode())
    return MAGIC + sized(1, type_meta) + sized(2, raw) + sized(3, b"") + sized(4, b"")


def body(obj: Any, row: ResourceInfo) -> bytes:
    """The body that a stock client sends of an object."""
    return envelope(encode_message(obj, row.definition), row.api_version, row.kind)
