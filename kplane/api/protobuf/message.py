"""Messages: rows of the table, compiled into functions that read a field's bytes into a JSON-shaped object.

An object gets what Go's JSON encoder prints of the struct that Go's protobuf decoder makes: a field that the
wire lacks but JSON always shows gets Go's zero value, an empty one that JSON leaves out is left out. Numbers
that nobody knows are skipped. A message that comes twice is merged, of any other value the last one counts.

Invariant: reading takes time in proportion to the bytes, makes at most MAX_CONTAINERS messages, and nests
only as deep as types and Python do.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from kplane.api.decode_error import MAX_CONTAINERS, DecodeError, too_complex
from kplane.api.protobuf import table
from kplane.api.protobuf.special import SPECIAL
from kplane.api.protobuf.table import Row
from kplane.api.protobuf.wire import (
    END_GROUP,
    FIXED64,
    SIZED,
    VARINT,
    checked_size,
    double,
    int32,
    int64,
    padded,
    skip,
    truncated,
    varint,
)
from kplane.api.resource import Object

_Sized: TypeAlias = Callable[[Object, bytes, int, int], None]
"""Reads the bytes from start to stop into a field of the object."""
_Numeric: TypeAlias = Callable[[Object, int], None]
_Value: TypeAlias = Callable[[bytes, int, int], Any]

_NUMBERS: dict[str, Callable[[int], Any]] = {"int32": int32, "int64": int64, "bool": bool}
_TAG_BITS = (1 << 35) - 1
"""Go keeps 32 bits of a field's number, and the 3 of its wire type."""


def decode(raw: bytes, definition: str) -> Object:
    """The object of a definition in `raw`. Raises DecodeError, and KeyError for one without numbers."""
    try:
        return message(definition).whole(raw)
    except RecursionError as error:
        raise DecodeError("exceeded max depth") from error


_messages: dict[str, Message] = {}


def message(name: str) -> Message:
    """The message of a name in the table, compiled on first use and kept. Raises KeyError."""
    found = _messages.get(name)
    if found is None:
        found = _messages[name] = Message(name.rpartition(".")[2], table.rows(name))
    return found


class Message:
    """Compiled when it is first read, because a type may contain itself. `name` is for error messages."""

    left = MAX_CONTAINERS
    """How many more messages the decoding that is under way may make: an empty one takes only two bytes."""

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self._name = name
        self._rows = rows
        self._compiled = False
        self._sized: dict[int, _Sized] = {}
        self._numeric: dict[int, _Numeric] = {}
        self._doubles: dict[int, str] = {}
        self._always: list[tuple[str, Callable[[], Any]]] = []
        """Fields that JSON always shows, and what makes their zero values."""

    def _compile(self) -> Message:
        if not self._compiled:
            for row in self._rows:
                self._compile_row(row)
            self._compiled = True
        return self

    def _compile_row(self, row: Row) -> None:
        if row.type in _NUMBERS:
            self._numeric[row.number << 3 | VARINT] = _numeric(row)
            if row.shape == "list":
                self._sized[row.number << 3 | SIZED] = _packed(row)
        elif row.type == "double":
            assert row.shape == "pointer", "no message has another form of these"
            self._doubles[row.number << 3 | FIXED64] = row.name
        else:
            self._sized[row.number << 3 | SIZED] = _sized(row)
        if row.shape == "inline":
            self._always += message(row.type)._compile()._always
        elif not row.omitted:
            self._always.append((row.name, _zero(row)))

    def whole(self, raw: bytes, start: int = 0) -> Object:
        """The object that `raw` holds from `start` on. Raises DecodeError."""
        Message.left = MAX_CONTAINERS
        return self.read(padded(raw), start, len(raw), {})

    def read(self, data: bytes, position: int, end: int, obj: Object) -> Object:
        """`obj` with what the padded data holds from position to end. Raises DecodeError."""
        if not self._compiled:
            self._compile()
        Message.left -= 1
        if Message.left < 0:
            raise too_complex()
        sized, numeric = self._sized, self._numeric
        while position < end:
            tag = data[position]
            position += 1
            if tag & 0x80:
                tag, position = varint(data, position - 1, end)
                tag &= _TAG_BITS
            # At the end, the next byte is somebody else's: the checks that follow find that out.
            if (store := sized.get(tag)) is not None:
                size = data[position]
                position += 1
                if size & 0x80:
                    size, position = varint(data, position - 1, end)
                stop = position + checked_size(size)
                if stop > end:
                    raise truncated()
                store(obj, data, position, stop)
                position = stop
            elif (count := numeric.get(tag)) is not None:
                value = data[position]
                position += 1
                if value & 0x80:
                    value, position = varint(data, position - 1, end)
                if position > end:
                    raise truncated()
                count(obj, value)
            elif (name := self._doubles.get(tag)) is not None:
                obj[name], position = double(data, position, end)
            else:
                position = self._skip(tag, data, position, end)
        for name, zero in self._always:
            if name not in obj:
                obj[name] = zero()
        return obj

    def empty(self) -> Object:
        """What JSON shows of a message that has nothing."""
        return {name: zero() for name, zero in self._compile()._always}

    def _skip(self, tag: int, data: bytes, position: int, end: int) -> int:
        number, wire_type = int32(tag >> 3), tag & 7
        if wire_type == END_GROUP:
            raise DecodeError(f"proto: {self._name}: wiretype end group for non-group")
        if number <= 0:
            raise DecodeError(f"proto: {self._name}: illegal tag {number} (wire type {tag})")
        for row in self._rows:
            if row.number == number:
                raise DecodeError(f"proto: wrong wireType = {wire_type} for field {row.go_name}")
        return skip(data, wire_type, position, end)


def _numeric(row: Row) -> _Numeric:
    """Stores a number that stands by itself."""
    name, convert = row.name, _NUMBERS[row.type]
    if row.shape == "list":

        def append(obj: Object, value: int) -> None:
            _list(obj, name).append(convert(value))

        return append
    drops_zero = row.omitted and row.shape == "value"

    def put(obj: Object, value: int) -> None:
        if value or not drops_zero:
            obj[name] = convert(value)
        else:
            obj.pop(name, None)

    return put


def _packed(row: Row) -> _Sized:
    """Stores a list of numbers that stand together."""
    name, convert = row.name, _NUMBERS[row.type]

    def extend(obj: Object, data: bytes, start: int, stop: int) -> None:
        values = _list(obj, name)
        while start < stop:
            value, start = varint(data, start, stop)
            values.append(convert(value))

    return extend


def _sized(row: Row) -> _Sized:
    match row.shape:
        case "inline":
            return _inline(row)
        case "map":
            return _entry(row)
        case "list":
            return _element(row)
    return _merged(row) if _is_object(row.type) else _single(row)


def _single(row: Row) -> _Sized:
    """Stores a value; the last one counts."""
    name, read = row.name, _value(row.type)
    drops_empty = row.omitted and row.shape == "value"

    def put(obj: Object, data: bytes, start: int, stop: int) -> None:
        value = read(data, start, stop)
        if value or not drops_empty:
            obj[name] = value
        else:
            obj.pop(name, None)

    return put


def _merged(row: Row) -> _Sized:
    name, inner = row.name, message(row.type)

    def merge(obj: Object, data: bytes, start: int, stop: int) -> None:
        inner_obj = obj.get(name)
        if inner_obj is None:
            inner_obj = obj[name] = {}
        inner.read(data, start, stop, inner_obj)

    return merge


def _inline(row: Row) -> _Sized:
    inner = message(row.type)

    def merge(obj: Object, data: bytes, start: int, stop: int) -> None:
        inner.read(data, start, stop, obj)

    return merge


def _element(row: Row) -> _Sized:
    name, read = row.name, _value(row.type)

    def append(obj: Object, data: bytes, start: int, stop: int) -> None:
        _list(obj, name).append(read(data, start, stop))

    return append


def _entry(row: Row) -> _Sized:
    """Stores an entry of a map, which is a message of a key and a value."""
    name = row.name
    inner = Message("Entry", [Row(1, "key", "string"), Row(2, "value", row.type)])

    def put(obj: Object, data: bytes, start: int, stop: int) -> None:
        entry = inner.read(data, start, stop, {})
        entries = obj.get(name)
        if entries is None:
            entries = obj[name] = {}
        entries[entry["key"]] = entry["value"]

    return put


def _list(obj: Object, name: str) -> list[Any]:
    found: list[Any] | None = obj.get(name)
    if found is None:
        found = obj[name] = []
    return found


def _is_object(kind: str) -> bool:
    """Whether a type is a message that JSON shows as an object of its fields."""
    return "." in kind and kind not in SPECIAL and not _is_wrapper(kind)


def _is_wrapper(kind: str) -> bool:
    """Whether a message is there for the sake of its only field."""
    if "." not in kind or kind in SPECIAL:
        return False
    return [(row.name, row.shape) for row in table.rows(kind)] == [("", "list")]


def _value(kind: str) -> _Value:
    """Reads a value of a type that has a length."""
    match kind:
        case "string":
            return lambda data, start, stop: data[start:stop].decode("utf-8", "replace")
        case "bytes":
            return lambda data, start, stop: binascii.b2a_base64(data[start:stop], newline=False).decode()
        case "raw":
            return lambda data, start, stop: data[start:stop]
    if special := SPECIAL.get(kind):
        of, fields = special.value, Message(kind.rpartition(".")[2], special.rows)
        return lambda data, start, stop: of(fields.read(data, start, stop, {}))
    inner = message(kind)
    if _is_wrapper(kind):
        return lambda data, start, stop: inner.read(data, start, stop, {})[""]
    return lambda data, start, stop: inner.read(data, start, stop, {})


def _zero(row: Row) -> Callable[[], Any]:
    """Makes what JSON shows of a field that Go has not set."""
    if row.shape != "value":
        return lambda: None
    if row.type in _NUMBERS:
        return bool if row.type == "bool" else int
    if row.type == "string":
        return str
    if special := SPECIAL.get(row.type):
        return lambda: special.value({})
    return message(row.type).empty if _is_object(row.type) else lambda: None
