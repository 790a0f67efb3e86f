"""The tree of an expression: what the parser makes, the checker annotates and the compiler reads.

`at` is the character offset that cel-go reports for the node: of an operator, of the `(` of a call, of the
dot of a selection. `type` is set by the checker. A tree belongs to one Program and is not shared.

Invariant: no deeper than the parser's MOST_DEPTH, so that recursion over it is safe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from .types import DYN, Type

if TYPE_CHECKING:
    from .overload import Overload


@dataclass(slots=True, eq=False)
class Literal:
    at: int
    value: Any
    type: Type = DYN


@dataclass(slots=True, eq=False)
class Ident:
    at: int
    name: str
    type: Type = DYN
    denotes: Type | None = None
    """Set when the name is that of a type, as in `type(x) == string`."""


@dataclass(slots=True, eq=False)
class Select:
    """`operand.field`; with `test`, the `has(operand.field)` of it."""

    at: int
    operand: Expr
    field: str
    test: bool = False
    type: Type = DYN
    resolved: Ident | None = None
    """Set when the whole chain is one dotted name, such as a type's."""


@dataclass(slots=True, eq=False)
class Call:
    """A function, operator (`_+_`) or method; `target` is the receiver of a method."""

    at: int
    function: str
    args: list[Expr]
    target: Expr | None = None
    type: Type = DYN
    overloads: list[Overload] = field(default_factory=list)

    def operands(self) -> list[Expr]:
        """The receiver, if there is one, and the arguments."""
        return [self.target, *self.args] if self.target is not None else self.args


@dataclass(slots=True, eq=False)
class ListExpr:
    at: int
    items: list[Expr]
    optional: frozenset[int] = frozenset()
    """Which items are `?value`: left out where the value is none."""
    type: Type = DYN


@dataclass(slots=True, eq=False)
class Entry:
    at: int
    key: Expr
    value: Expr
    optional: bool = False


@dataclass(slots=True, eq=False)
class MapExpr:
    at: int
    entries: list[Entry]
    type: Type = DYN


@dataclass(slots=True, eq=False)
class FieldInit:
    at: int
    name: str
    value: Expr
    optional: bool = False


@dataclass(slots=True, eq=False)
class StructExpr:
    at: int
    name: str
    fields: list[FieldInit]
    type: Type = DYN


@dataclass(slots=True, eq=False)
class Fold:
    """A comprehension: the macros over lists and maps.

    `kind` is all, exists, exists_one, filter, map, transformMap, transformMapEntry or sortBy (transformList
    is a map). `names` holds one variable, or two for key (index) and value. `body` is the predicate or the
    transformation, `where` the condition of a map.
    """

    at: int
    kind: str
    names: tuple[str, ...]
    over: Expr
    body: Expr
    where: Expr | None = None
    type: Type = DYN


@dataclass(slots=True, eq=False)
class Bind:
    """`cel.bind(name, value, body)`, and what `optMap` and `optFlatMap` make of an optional."""

    at: int
    name: str
    value: Expr
    body: Expr
    type: Type = DYN


Expr: TypeAlias = Literal | Ident | Select | Call | ListExpr | MapExpr | StructExpr | Fold | Bind


def children(node: Expr) -> list[Expr]:
    """The nodes directly below one."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return node.operands()
        case ListExpr():
            return node.items
        case MapExpr():
            return [part for entry in node.entries for part in (entry.key, entry.value)]
        case StructExpr():
            return [field.value for field in node.fields]
        case Fold():
            return [node.over, node.body] if node.where is None else [node.over, node.where, node.body]
        case Bind():
            return [node.value, node.body]
    return []
