"""Messages written: rows of the table, compiled into functions that turn a JSON-shaped object into bytes.

The bytes are those of Go's generated code, from the struct that Go's JSON decoder makes of the object: fields
in the order of their numbers, maps in the order of their keys. What the struct holds by value is written even
where the object lacks it, what it points at only where it is there.
Elsewhere: the other direction (`message.py`), which knows the same rows.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeAlias

from kplane.api.protobuf import table
from kplane.api.protobuf.special import SPECIAL
from kplane.api.protobuf.table import Row
from kplane.api.protobuf.wire import FIXED64, SIZED, VARINT, unsigned
from kplane.api.resource import Object

_Write: TypeAlias = Callable[[Any], bytes]
"""A value as it stands in a message, its tag in front."""
_NUMBERS = ("int32", "int64", "bool")


def encode(obj: Object, definition: str) -> bytes:
    """The message of a definition. Raises KeyError for one without numbers."""
    return message(definition).write(obj)


def encode_field(name: str, value: Any, definition: str) -> bytes:
    """One field as it stands in the message of a definition; fields of a message may be written one after the
    other. Raises KeyError."""
    return message(definition).write_field(name, value)


def encode_event(event_type: str, body: bytes) -> bytes:
    """A WatchEvent (apimachinery `pkg/apis/meta/v1`), whose object is a RawExtension of a body."""
    return _TYPE(event_type.encode()) + _OBJECT(_RAW(body))


@cache
def message(name: str) -> Message:
    """The message of a name in the table, kept. Raises KeyError."""
    return Message(table.rows(name))


class Message:
    """Compiled when it is first written, because a type may contain itself."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = sorted(rows, key=lambda row: row.number)
        self._fields: list[tuple[str, _Write, bytes]] | None = None
        """For each field its name, how to write it, and what stands for it where it is not there. A name
        that is empty stands for the whole object."""

    def write(self, obj: Any) -> bytes:
        parts = []
        for name, write, absent in self._fields or self._compile():
            value = obj.get(name) if name else obj
            parts.append(absent if value is None else write(value))
        return b"".join(parts)

    def write_field(self, name: str, value: Any) -> bytes:
        """Raises KeyError for a name that no field has."""
        writes = {known: write for known, write, _ in self._fields or self._compile()}
        return writes[name](value)

    def _compile(self) -> list[tuple[str, _Write, bytes]]:
        made = [(row.name, _field(row), _zero(row)) for row in self._rows]
        self._fields = made
        return made


def sized(number: int) -> _Write:
    """Writes bytes that have a length."""
    tag = unsigned(number << 3 | SIZED)

    def write(content: bytes) -> bytes:
        size = len(content)
        return tag + (_SMALL[size] if size < 128 else unsigned(size)) + content

    return write


_SMALL = [bytes([number]) for number in range(128)]
_TYPE, _OBJECT, _RAW = sized(1), sized(2), sized(1)


def _field(row: Row) -> _Write:
    if row.shape == "map":
        return _entries(row)
    write = _value(row.number, row.type)
    if row.shape != "list":
        return write
    return lambda values: b"".join([write(value) for value in values])


def _value(number: int, kind: str) -> _Write:
    """Writes one value of a type."""
    if kind in _NUMBERS:
        tag = unsigned(number << 3 | VARINT)
        return lambda value: tag + unsigned(int(value))
    if kind == "double":
        tag = unsigned(number << 3 | FIXED64)
        return lambda value: tag + struct.pack("<d", value)
    put = sized(number)
    match kind:
        case "string":
            return lambda value: put(value.encode())
        case "bytes":
            return lambda value: put(binascii.a2b_base64(value))
        case "raw":
            return put
    if special := SPECIAL.get(kind):
        fields, inner = special.fields, Message(special.rows)
        return lambda value: put(inner.write(fields(value)))
    write = message(kind).write
    return lambda value: put(write(value))


def _entries(row: Row) -> _Write:
    put, key, value = sized(row.number), _value(1, "string"), _value(2, row.type)
    return lambda entries: b"".join([put(key(name) + value(entries[name])) for name in sorted(entries)])


def _zero(row: Row) -> bytes:
    """What Go writes of a field that is not set."""
    if row.shape not in ("value", "inline"):
        return b""
    if row.type in _NUMBERS:
        return _value(row.number, row.type)(0)
    if row.type in ("bytes", "raw"):
        return b""
    if row.type == "string":
        return sized(row.number)(b"")
    if special := SPECIAL.get(row.type):
        return sized(row.number)(Message(special.rows).write(special.fields(None)))
    return sized(row.number)(message(row.type).write({}))
