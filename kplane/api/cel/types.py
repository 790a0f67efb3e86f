"""The types of expressions: what variables are declared as, what the checker computes.

A type that was made from a schema also says how large its values can be (`most`: characters, bytes or items)
and how small their JSON is (`least`, bytes); static costs rest on that. Sizes play no part in whether types
are equal.

Names as cel-go prints them in messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

View: TypeAlias = Callable[[Any], Any]
"""Makes the value that expressions see of decoded JSON, without copying it whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Type:
    """`kind` is dyn, null, bool, int, uint, double, string, bytes, timestamp, duration, list, map, type,
    optional_type, object, opaque, or var: a type variable of a signature."""

    kind: str
    params: tuple[Type, ...] = ()
    name: str = ""
    most: int | None = None
    least: int = 1
    view: View | None = None
    """None: values are used as they are."""
    structure: Structure | None = None
    """Of objects."""

    def __str__(self) -> str:
        if self.kind in ("object", "opaque"):
            inner = f"({', '.join(map(str, self.params))})" if self.params else ""
            return self.name + inner
        if self.kind == "var":
            return self.name
        return f"{self.kind}({', '.join(map(str, self.params))})" if self.params else self.kind

    def sized(self, most: int | None, least: int = 1) -> Type:
        return replace(self, most=most, least=least)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object: its type, and its name in JSON (expressions see the escaped one)."""

    type: Type
    key: str
    required: bool = False


@dataclass(slots=True, eq=False)
class Structure:
    """The fields of an object type, found one by one, so that types may contain themselves."""

    find: Callable[[str], Field | None]
    known: dict[str, Field | None] = field(default_factory=dict)

    def field(self, name: str) -> Field | None:
        if name not in self.known:
            self.known[name] = self.find(name)
        return self.known[name]


DYN = Type("dyn")
NULL = Type("null")
BOOL = Type("bool", least=4)
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string", least=2)
BYTES = Type("bytes", least=2)
TIMESTAMP = Type("timestamp", least=21)
DURATION = Type("duration", least=3)
TYPE = Type("type")

SCALARS = frozenset({"bool", "int", "uint", "double", "null", "timestamp", "duration", "type", "opaque"})


def list_of(item: Type, most: int | None = None, view: View | None = None) -> Type:
    return Type("list", (item,), most=most, least=2, view=view)


def map_of(key: Type, value: Type, most: int | None = None, view: View | None = None) -> Type:
    return Type("map", (key, value), most=most, least=2, view=view)


def optional_of(inner: Type) -> Type:
    return Type("optional_type", (inner,))


def opaque(name: str) -> Type:
    """A type that only its own functions understand, e.g. `kubernetes.Quantity`."""
    return Type("opaque", name=name)


def type_of_type(inner: Type) -> Type:
    return Type("type", (inner,))


def variable(name: str) -> Type:
    return Type("var", name=name)


def object_of(name: str, fields: Mapping[str, Type | Field]) -> Type:
    """An object whose fields are all known; a field is given by its type where its JSON name is the same."""

    def find(key: str) -> Field | None:
        found = fields.get(key)
        return Field(found, key) if isinstance(found, Type) else found

    return Type("object", name=name, structure=Structure(find), least=2)


def same(left: Type, right: Type) -> bool:
    """Whether they are one type, sizes aside."""
    if left is right:
        return True
    if left.kind != right.kind or left.name != right.name or len(left.params) != len(right.params):
        return False
    return all(map(same, left.params, right.params))


def call_signature(args: list[Type], method: bool) -> str:
    """`(int, string)`, or `string.(int)` for a method."""
    shown = [str(arg) for arg in args]
    return f"{shown[0]}.({', '.join(shown[1:])})" if method else f"({', '.join(shown)})"
