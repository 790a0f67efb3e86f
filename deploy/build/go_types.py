"""Types of a Go program as reflection sees them, read from its ELF file: what structs hold, and their tags.

Reads: a 64-bit little-endian ELF file that is linked to fixed addresses, as Go links by default.
Elsewhere: what is made of the types (`protobuf_table.py`).

The layout is that of Go's `internal/abi` (Type, StructType, UncommonType, Name) and the same since Go 1.18.
Type links name only the types without a name, among them the pointers to all named types that a program may
reflect upon; everything else is found by following them.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

BOOL, INT32, INT64, UINT8 = 1, 5, 6, 8
ARRAY, CHAN, FUNC, INTERFACE, MAP, POINTER, SLICE, STRING, STRUCT = 17, 18, 19, 20, 21, 22, 23, 24, 25

_CONTAINERS = frozenset({ARRAY, CHAN, POINTER, SLICE})
_SIZES = {ARRAY: 72, CHAN: 64, FUNC: 56, INTERFACE: 80, MAP: 104, POINTER: 56, SLICE: 56, STRUCT: 80}
"""Bytes before a type's UncommonType; 48 for the kinds that have nothing of their own."""
_HAS_UNCOMMON, _EXTRA_STAR, _NAMED = 1, 2, 4


class UnreadableError(Exception):
    """The file is no Go program of the kind that can be read."""


@dataclass(frozen=True)
class Field:
    """One field of a struct."""

    name: str
    tag: str
    embedded: bool
    type: Type


class Type:
    """A type at an address; everything about it is read when asked for, because types are cyclic."""

    def __init__(self, program: Program, address: int) -> None:
        self._program = program
        self._address = address
        flags, self.kind = program.unpack("B2xB", address + 20)
        self._has_uncommon = bool(flags & _HAS_UNCOMMON)
        self._extra_star = bool(flags & _EXTRA_STAR)
        self.named = bool(flags & _NAMED)

    @cached_property
    def name(self) -> str:
        """`Deployment` for a named type, `*v1.Deployment` for another."""
        (offset,) = self._program.unpack("i", self._address + 40)
        text = self._program.name(self._program.types + offset)[0][self._extra_star :]
        return text.rpartition(".")[2] if self.named else text

    @cached_property
    def package(self) -> str:
        """Import path of a named type's package: `k8s.io/api/apps/v1`; empty for predeclared types."""
        if not (self.named and self._has_uncommon):
            return ""
        (offset,) = self._program.unpack("i", self._address + _SIZES.get(self.kind, 48))
        return self._program.name(self._program.types + offset)[0] if offset else ""

    @cached_property
    def item(self) -> Type:
        """What a pointer points to, a list or a map holds."""
        (address,) = self._program.unpack("Q", self._address + (56 if self.kind == MAP else 48))
        return self._program.type(address)

    @cached_property
    def key(self) -> Type:
        """The key of a map."""
        return self._program.type(*self._program.unpack("Q", self._address + 48))

    @cached_property
    def fields(self) -> list[Field]:
        """The fields of a struct, in order."""
        first, count = self._program.unpack("QQ", self._address + 56)
        return [self._field(first + 24 * index) for index in range(count)]

    def _field(self, address: int) -> Field:
        name, kind = self._program.unpack("QQ", address)
        text, tag, embedded = self._program.name(name)
        return Field(text, tag, embedded, self._program.type(kind))

    def parts(self) -> list[Type]:
        """The types that this one is made of."""
        if self.kind == STRUCT:
            return [field.type for field in self.fields]
        if self.kind == MAP:
            return [self.key, self.item]
        return [self.item] if self.kind in _CONTAINERS else []


class Program:
    """An ELF file of a Go program, mapped into memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._data[:6] != b"\x7fELF\x02\x01":
            raise UnreadableError(f"{path} is no 64-bit little-endian ELF file")
        self._sections = dict(self._read_sections())
        if not {".rodata", ".typelink"} <= self._sections.keys():
            raise UnreadableError(f"{path} has no table of Go types")
        self.types, offset, _ = self._sections[".rodata"]
        self._shift = offset - self.types
        self._known: dict[int, Type] = {}

    def _read_sections(self) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Name -> (address, offset in the file, size)."""
        (table,) = struct.unpack_from("<Q", self._data, 40)
        count, names = struct.unpack_from("<HH", self._data, 60)
        rows = [struct.unpack_from("<I12xQQQ", self._data, table + 64 * index) for index in range(count)]
        for name, *place in rows:
            start = rows[names][2] + name
            text = self._data[start : self._data.find(b"\0", start)].decode()
            yield text, (place[0], place[1], place[2])

    def unpack(self, form: str, address: int) -> tuple[Any, ...]:
        return struct.unpack_from(f"<{form}", self._data, address + self._shift)

    def name(self, address: int) -> tuple[str, str, bool]:
        """An abi.Name: text, tag, and whether it is an embedded field's."""
        (flags,) = self.unpack("B", address)
        text, end = self._text(address + 1)
        tag = self._text(end)[0] if flags & 2 else ""
        return text, tag, bool(flags & 8)

    def _text(self, address: int) -> tuple[str, int]:
        """A string after its length, and the address behind it."""
        position, size, shift = address + self._shift, 0, 0
        while True:
            byte = self._data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        end = position + size
        return self._data[position:end].decode(), end - self._shift

    def type(self, address: int) -> Type:
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = Type(self, address)
        return found

    def all_types(self) -> Iterator[Type]:
        """Every type that the type links lead to, once."""
        _, offset, size = self._sections[".typelink"]
        links = struct.unpack_from(f"<{size // 4}i", self._data, offset)
        waiting = [self.type(self.types + link) for link in links]
        seen: set[Type] = set()
        while waiting:
            found = waiting.pop()
            if found not in seen:
                seen.add(found)
                waiting.extend(found.parts())
                yield found
