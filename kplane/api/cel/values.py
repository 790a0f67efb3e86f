"""Values that expressions compute with.

bool, int, double (float), string, bytes, null, lists and maps are Python's own, so that decoded JSON is used
where it lies. This module adds what Python lacks: unsigned numbers, timestamps and durations in nanoseconds,
optionals, types as values; and views of JSON whose schema says that it means more than it shows (view.py
makes them).

Invariant: values are never changed. Equality across them is `equal`, not `==`: to Python, True is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, ClassVar

from .errors import BudgetExceeded, EvaluationError

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class UInt(int):
    """An unsigned number of 64 bits."""

    __slots__ = ()


@total_ordering
@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment, in nanoseconds since 1970 in UTC."""

    nanoseconds: int

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanoseconds < other.nanoseconds


@total_ordering
@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time, in nanoseconds; 64 bits, as Go's."""

    nanoseconds: int

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds


@dataclass(frozen=True, slots=True, eq=False)
class Optional:
    """A value that may be missing."""

    value: Any = None
    present: bool = False


NONE = Optional()


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value: what `type(x)` yields."""

    name: str


class Opaque:
    """Base of values that only their own functions understand, such as quantities. Subclasses define `==`."""

    type_name: ClassVar[str]


class ListView(Sequence[Any]):
    """A JSON list whose items need a view of their own, or whose order means nothing.

    `kind` is atomic, set or map, as in `x-kubernetes-list-type`; `keys` are the map's.
    """

    __slots__ = ("item", "keys", "kind", "raw")

    def __init__(
        self,
        raw: Sequence[Any],
        item: Callable[[Any], Any] | None,
        kind: str = "atomic",
        keys: tuple[str, ...] = (),
    ) -> None:
        self.raw = raw
        self.item = item
        self.kind = kind
        self.keys = keys

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: Any) -> Any:
        found = self.raw[index]
        if self.item is None or found is None:
            return found
        return [self.item(entry) for entry in found] if isinstance(index, slice) else self.item(found)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw) if self.item is None else map(self.item, self.raw)


class MapView(Mapping[str, Any]):
    """A JSON object some of whose fields need a view; `view_of` finds it by the field's name in JSON."""

    __slots__ = ("raw", "view_of")

    def __init__(self, raw: Mapping[str, Any], view_of: Callable[[str], Callable[[Any], Any] | None]) -> None:
        self.raw = raw
        self.view_of = view_of

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __contains__(self, key: object) -> bool:
        return key in self.raw

    def __getitem__(self, key: str) -> Any:
        found = self.raw[key]
        if found is None:
            return None
        view = self.view_of(key)
        return view(found) if view else found


class Struct(Mapping[str, Any]):
    """An object that an expression made: `Object{…}`, `JSONPatch{…}`."""

    __slots__ = ("raw", "type_name")

    def __init__(self, type_name: str, raw: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]


_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    ListView: "list",
    dict: "map",
    MapView: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}
_NUMBERS = frozenset({int, UInt, float})
_LISTS = frozenset({list, ListView})
_MAPS = frozenset({dict, MapView, Struct})


def type_name(value: Any) -> str:
    """The name of a value's type, as `type(value)` and messages have it."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    return str(getattr(value, "type_name", "map"))


def is_list(value: Any) -> bool:
    return type(value) in _LISTS


def is_map(value: Any) -> bool:
    """Any mapping will do, so that callers can hand in objects that compute their fields when asked."""
    return type(value) in _MAPS or isinstance(value, Mapping)


def equal(left: Any, right: Any) -> bool:
    """CEL's equality: numbers across their types, nothing else across types; lists and maps by their
    contents.

    Takes time proportional to the smaller value; sets and associative lists in any order.
    """
    kind, other = type(left), type(right)
    if kind is other and kind is not list and kind is not dict:
        if kind is ListView:
            # Views of one JSON text are equal; most comparisons are of unchanged objects.
            return bool(left.raw == right.raw) or _equal_lists(left, right)
        if kind is MapView:
            return bool(left.raw == right.raw) or _equal_maps(left, right)
        if kind is Struct:
            return _equal_maps(left, right)
        if kind is Optional:
            return left.present is right.present and (not left.present or equal(left.value, right.value))
        return bool(left == right)
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(left == right)
    if kind in _LISTS and other in _LISTS:
        return _equal_lists(left, right)
    if kind in _MAPS and other in _MAPS:
        return _equal_maps(left, right)
    return False


def _equal_lists(left: Sequence[Any], right: Sequence[Any]) -> bool:
    if len(left) != len(right):
        return False
    ordering = left if isinstance(left, ListView) and left.kind != "atomic" else right
    if isinstance(ordering, ListView) and ordering.kind != "atomic":
        keyed = {list_key(ordering, item): item for item in left}
        other = {list_key(ordering, item): item for item in right}
        return keyed.keys() == other.keys() and all(equal(item, other[key]) for key, item in keyed.items())
    return all(map(equal, left, right))


def list_key(listing: ListView, item: Any) -> Any:
    """What makes an item of a set or an associative list the same as another."""
    if listing.kind == "map" and is_map(item):
        return tuple(frozen(item.get(key)) for key in listing.keys)
    return frozen(item)


def frozen(value: Any) -> Any:
    """A hashable stand-in: equal values have equal ones, and only they."""
    kind = type(value)
    if kind in _NUMBERS:
        return value
    if kind in _LISTS:
        return (list, *map(frozen, value))
    if kind in _MAPS:
        return (dict, frozenset((frozen(key), frozen(item)) for key, item in value.items()))
    if kind is Optional:
        return (Optional, value.present, frozen(value.value))
    return (kind, value)


def _equal_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    return all(key in right and equal(value, right[key]) for key, value in left.items())


def to_json(value: Any) -> Any:
    """Plain Python data of a result: timestamps and durations as strings, bytes as base64, optionals
    unwrapped.

    Raises EvaluationError for what has no form in JSON, or is too large.
    """
    from .charges import weigh

    try:
        weigh(value)
    except BudgetExceeded:
        raise EvaluationError("result is too large") from None
    return _plain(value)


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is UInt:
        return int(value)
    if kind in _LISTS:
        return [_plain(item) for item in value]
    if kind in _MAPS:
        return {str(key): _plain(item) for key, item in value.items()}
    if kind is Optional:
        return _plain(value.value) if value.present else None
    if kind in (Timestamp, Duration, bytes):
        from .conversions import to_string

        return to_string(value) if kind is not bytes else _base64(value)
    raise EvaluationError(f"type conversion error from '{type_name(value)}' to JSON")


def _base64(value: bytes) -> str:
    import base64

    return base64.b64encode(value).decode()
