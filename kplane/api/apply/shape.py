"""What a schema node is to apply: one value, a struct, a map, a list with keys, or a set.

Invariant: shapes are compiled once per node and shared by everybody; all that changes in them is what they
remember.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import msgspec

from kplane.api.apply.fieldset import MEMBER, FieldSet
from kplane.api.resource import Object
from kplane.api.schema import META, Node, node


class Kind(Enum):
    LEAF = 0
    """Owned as a whole: scalars, atomic lists and maps, values without a schema."""
    STRUCT = 1
    MAP = 2
    KEYED = 3
    """A list whose items are told apart by the values of some of their fields."""
    SET = 4


Step: TypeAlias = "tuple[str, Shape]"

KEPT = 64
"""Elements, and plans, that a node remembers: what clients write repeats itself."""
LONGEST_KEPT = 64
"""Letters of a key whose element is remembered."""
LONGEST_PLANNED = 256
"""Letters of all names of a plan that is remembered."""

_encode = msgspec.json.Encoder().encode

_EMBEDDED = frozenset(
    {
        "metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "resources",
        "loadBalancer", "nodeInfo", "daemonEndpoints", "involvedObject", "source", "names",
    }
)  # fmt: skip
"""Fields that Go holds by value: they exist in an object that nobody has written to yet."""


class MissingKey(ValueError):
    """An item of a list with keys lacks one of them."""


class Plan(NamedTuple):
    """What a write owns that adds a struct, or a map, with certain fields."""

    fields: FieldSet
    """As if nothing were in any of them."""
    branches: Sequence[tuple[str, str, Shape]]
    """Those in which something may be: name, path element, shape."""


class _Plans(dict[tuple[str, ...], Plan]):
    """Of a struct or a map, by the names of the fields that a value has: it fills itself."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __missing__(self, names: tuple[str, ...]) -> Plan:
        steps = [(name, *step) for name in names if (step := self._shape.step(name))]
        fields: FieldSet = {".": MEMBER} | {element: MEMBER for _, element, _ in steps}
        plan = Plan(fields, [(name, element, inner) for name, element, inner in steps if not inner.leaf])
        # Names that no schema knows may be anything, however long.
        if sum(map(len, names)) <= LONGEST_PLANNED:
            if len(self) >= KEPT:
                self.clear()
            self[names] = plan
        return plan


class _Elements(dict[str, str]):
    """Of a list whose items have one key, by its value, which is a text: it fills itself."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def __missing__(self, value: str) -> str:
        ((_, prefix, _),) = self._shape.keys
        element = f"k:{{{prefix}{_encode(value).decode()}}}"
        if len(value) <= LONGEST_KEPT:
            if len(self) >= KEPT:
                self.clear()
            self[value] = element
        return element


class Shape:
    """One node. `steps`, of a struct: each field's name to its path element (`f:name`) and shape."""

    __slots__ = (
        "elements", "item", "key", "keys", "kind", "leaf", "named", "plans", "steps", "struct", "zero",
    )  # fmt: skip

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        # Every write asks for these a hundred times; to look up a member of an enum takes ten times as long.
        self.leaf = kind is Kind.LEAF
        self.struct = kind is Kind.STRUCT
        self.named = kind in (Kind.STRUCT, Kind.MAP)
        """Whether what is in it goes by name, else it is a list of items."""
        self.steps: dict[str, Step] = {}
        self.item: Shape = self
        self.keys: tuple[tuple[str, str, Any], ...] = ()
        """Of a keyed list, sorted: the field, its text in a path element (`"name":`), its default."""
        self.zero: Object = {}
        """Of a struct, what of it exists in an object that nobody has written to."""
        self.key = ""
        """The only key of a keyed list; empty where it has several."""
        self.plans = _Plans(self)
        self.elements = _Elements(self)

    def step(self, name: str) -> Step | None:
        """From a struct or a map to its field; None for a field that the schema does not know."""
        return self.steps.get(name) if self.struct else (f"f:{name}", self.item)

    def element(self, item: Any) -> str:
        """The path element of a list's item: `k:{"name":"web"}` or `v:"text"`. Raises MissingKey."""
        if not self.keys:
            return f"v:{_encode(item).decode()}"
        if self.key and type(value := item.get(self.key)) is str:
            return self.elements[value]
        texts = []
        for name, prefix, default in self.keys:
            value = item.get(name, default)
            if value is None:
                raise MissingKey(
                    "associative list with keys has an element that omits key field "
                    f"{_encode(name).decode()} (and doesn't have default value)"
                )
            texts.append(prefix + _encode(value).decode())
        return "k:{" + ",".join(texts) + "}"


_LEAF = Shape(Kind.LEAF)
_kept: dict[int, tuple[Node, Shape]] = {}
"""By identity, with the node so that its identity stays taken."""


_Kept: TypeAlias = "dict[int, tuple[Node, Shape]]"


@cache
def shape_of(definition: str) -> Shape:
    """The shape of a definition. Raises KeyError."""
    return _shape(node(definition), _kept)


def custom_shape(of: Node) -> Shape:
    """The shape of a custom resource, which the caller keeps. Of an object that nobody has written to there
    are only its metadata."""
    shape = _shape(of, {})
    if shape.struct:
        shape.zero = {"metadata": shape_of(f"{META}ObjectMeta").zero}
    return shape


def _shape(of: Node, known: _Kept) -> Shape:
    kept = known.get(id(of))
    if kept is not None:
        return kept[1]
    shape = Shape(_kind(of))
    if shape.leaf:
        shape = _LEAF
    # Known before its fields are: a definition may contain itself.
    known[id(of)] = (of, shape)
    if shape.struct:
        shape.steps.update(
            {name: (f"f:{name}", _shape(child, known)) for name, child in (of.fields or {}).items()}
        )
        shape.zero = _zero(of, shape)
    elif not shape.leaf:
        assert of.item is not None
        shape.item = _shape(of.item, known)
        shape.keys = _keys(of)
        if len(shape.keys) == 1:
            shape.key = shape.keys[0][0]
    return shape


def _kind(of: Node) -> Kind:
    if of.map_type == "atomic":
        return Kind.LEAF
    match of.kind, of.list_type:
        case "object", _:
            return Kind.STRUCT if of.fields or not of.preserve_unknown else Kind.LEAF
        case "map", _:
            return Kind.MAP
        case "list", "map" if of.list_map_keys:
            return Kind.KEYED
        case "list", "set":
            return Kind.SET
    return Kind.LEAF


def _keys(of: Node) -> tuple[tuple[str, str, Any], ...]:
    assert of.item is not None
    fields = of.item.fields or {}
    return tuple(
        (name, f"{_encode(name).decode()}:", fields[name].default if name in fields else None)
        for name in sorted(of.list_map_keys)
    )


def _zero(of: Node, shape: Shape) -> Object:
    zero: Object = {}
    for name, (_, child) in shape.steps.items():
        if child.struct and name in _EMBEDDED:
            zero[name] = child.zero
        elif not child.leaf and not child.named and name in of.required:
            zero[name] = []
    return zero
