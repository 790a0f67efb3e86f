"""Functions as declared: signatures, what runs, what a call costs.

A library module is a list of overloads. Costs are upstream's: cel-go's `checker/cost.go` and
`interpreter/runtimecost.go`, and for Kubernetes' own functions apiserver `pkg/cel/library/cost.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple, TypeAlias

from .types import Type
from .values import TypeValue, is_list, is_map

LARGEST = 2**64 - 1
TRAVERSAL = 0.1
"""Cost of one character of a string."""
REGEX = 0.25
"""Cost of one character of a regular expression, per unit of the text's."""


class Range(NamedTuple):
    """A cost, or a size, that is known within limits. Saturates where upstream's unsigned numbers would."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, LARGEST), min(self.most + other.most, LARGEST))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, LARGEST), min(self.most * other.most, LARGEST))

    def factor(self, by: float) -> Range:
        return Range(min(ceil(self.least * by), LARGEST), min(ceil(self.most * by), LARGEST))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


ZERO, ONE, UNKNOWN = Range(0, 0), Range(1, 1), Range(0, LARGEST)


@dataclass(frozen=True, slots=True)
class Operand:
    """What the estimator knows of an argument: its type, its size, the size of its items."""

    type: Type
    size: Range
    item: Range = UNKNOWN
    literal: Any = None


class Estimated(NamedTuple):
    """The cost of a call without its arguments', and the size of what it returns, if that is known."""

    cost: Range
    size: Range | None = None


Estimate: TypeAlias = Callable[[Sequence[Operand]], Estimated]


class Charge(NamedTuple):
    """The cost of a call beyond the first unit's simplicity: none means 1.

    `before` gets the arguments, and is paid before the function runs, so that no call does much work on
    credit; `after` gets the result, too.
    """

    estimate: Estimate
    before: Callable[..., int] | None = None
    after: Callable[..., int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One signature of a function. Of a method, the receiver is the first parameter.

    `run` gets values of the parameters' types and raises only EvaluationError. Operators whose arguments are
    not all evaluated are declared like others; the compiler knows them.
    """

    function: str
    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    method: bool = False
    charge: Charge | None = None

    def accepts(self, values: Sequence[Any]) -> bool:
        """Whether values of unknown type fit."""
        return len(values) == len(self.params) and all(map(fits, values, self.params))


def method(
    name: str, params: Sequence[Type], result: Type, run: Callable[..., Any], charge: Charge | None = None
) -> Overload:
    return Overload(name, tuple(params), result, run, True, charge)


def function(
    name: str, params: Sequence[Type], result: Type, run: Callable[..., Any], charge: Charge | None = None
) -> Overload:
    return Overload(name, tuple(params), result, run, False, charge)


_PYTHON: dict[str, str] = {"null": "null_type"}


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value has a type, looking at items no further than a list's or map's first level."""
    from .values import type_name

    match wanted.kind:
        case "dyn" | "var":
            return True
        case "list":
            return is_list(value) and (
                wanted.params[0].kind in ("dyn", "var") or all(fits(item, wanted.params[0]) for item in value)
            )
        case "map" | "object":
            return is_map(value)
        case "type":
            return isinstance(value, TypeValue)
        case "opaque":
            return type_name(value) == wanted.name
        case "timestamp":
            return type_name(value) == "google.protobuf.Timestamp"
        case "duration":
            return type_name(value) == "google.protobuf.Duration"
    return type_name(value) == _PYTHON.get(wanted.kind, wanted.kind)


def size(value: Any) -> int:
    """Characters, bytes or items; 1 of anything else."""
    if type(value) in (str, bytes) or is_list(value) or is_map(value):
        return len(value)
    sized = getattr(value, "size", 1)
    return sized if isinstance(sized, int) else 1


def traversal(value: Any) -> int:
    """The cost of reading a string once."""
    return ceil(size(value) * TRAVERSAL)
