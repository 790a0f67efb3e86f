"""The wire format below messages: varints, and fields that nobody knows.

Faults are worded as those of the decoders that gogoproto generates, which upstream's API types have.

Buffers end with a byte that belongs to nobody (`padded`), so that one byte may be read before its place is
checked.
"""

from __future__ import annotations

import math
import struct

from kplane.api.decode_error import DecodeError

VARINT, FIXED64, SIZED, START_GROUP, END_GROUP, FIXED32 = range(6)

_MAX_BITS = 64
_MASK = (1 << _MAX_BITS) - 1
_EXPONENTS = 1e21
"""From here on Go prints a float with an exponent."""


def padded(data: bytes) -> bytes:
    """The buffer that the readers work on; what it holds ends at `len(data)`."""
    return data + b"\0"


def varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The unsigned number at `position`, and where it ends. Raises DecodeError."""
    value = shift = 0
    while shift < _MAX_BITS:
        if position >= end:
            raise truncated()
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK, position
        shift += 7
    raise DecodeError("proto: integer overflow")


def unsigned(value: int) -> bytes:
    """A varint; negative numbers as their two's complement of 64 bits."""
    value &= _MASK
    if value < 0x80:
        return bytes((value,))
    text = bytearray()
    while value >= 0x80:
        text.append(value & 0x7F | 0x80)
        value >>= 7
    text.append(value)
    return bytes(text)


def int64(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def int32(value: int) -> int:
    """The lower half: Go's decoder drops the rest."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def double(data: bytes, position: int, end: int) -> tuple[float | int, int]:
    """The number at `position`, as JSON shows it, and where it ends. Raises DecodeError."""
    if position + 8 > end:
        raise truncated()
    (value,) = struct.unpack_from("<d", data, position)
    if not math.isfinite(value):
        raise DecodeError(f"json: unsupported value: {value}")
    return (int(value) if value.is_integer() and abs(value) < _EXPONENTS else value), position + 8


def skip(data: bytes, wire_type: int, position: int, end: int) -> int:
    """Where the field ends whose tag ends at `position`. Raises DecodeError."""
    depth = 0
    while True:
        match wire_type:
            case 0:
                _, position = varint(data, position, end)
            case 1:
                position += 8
            case 2:
                size, position = varint(data, position, end)
                position += checked_size(size)
            case 3:
                depth += 1
            case 4 if not depth:
                raise DecodeError("proto: unexpected end of group")
            case 4:
                depth -= 1
            case 5:
                position += 4
            case _:
                raise DecodeError(f"proto: illegal wireType {wire_type}")
        if position > end:
            raise truncated()
        if not depth:
            return position
        tag, position = varint(data, position, end)
        wire_type = tag & 7


def checked_size(size: int) -> int:
    """Raises DecodeError for a length that is negative in Go."""
    if size >> 63:
        raise DecodeError("proto: negative length found during unmarshaling")
    return size


def truncated() -> DecodeError:
    return DecodeError("unexpected EOF")
