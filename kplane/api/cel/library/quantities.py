"""`quantity('1.5Gi')` and what can be asked of it. Arithmetic is kplane.api.quantity's."""

from __future__ import annotations

from typing import Any

from ... import quantity as wire
from .. import charges
from ..errors import EvaluationError
from ..named import QUANTITY
from ..overload import Overload, function, method
from ..types import BOOL, DOUBLE, INT, STRING
from ..values import INT_MAX, INT_MIN, Opaque

_LONGEST = 1000
"""Characters; no quantity that fits into 64 bits needs them."""


class Quantity(Opaque):
    """A quantity in its canonical form; equal by value."""

    __slots__ = ("text",)
    type_name = QUANTITY.name

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and wire.compare(self.text, other.text) == 0

    def __hash__(self) -> int:
        return hash(wire.exact(self.text))


def _canonical(text: str) -> str:
    """Raises QuantityError."""
    if len(text) > _LONGEST:
        raise wire.QuantityError("unable to parse numeric part of quantity")
    return wire.canonical(text)


def _quantity(text: str) -> Quantity:
    try:
        return Quantity(_canonical(text))
    except wire.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        _canonical(text)
    except wire.QuantityError:
        return False
    return True


def _whole(value: Quantity) -> int | None:
    exact = wire.exact(value.text)
    return int(exact) if exact.denominator == 1 and INT_MIN <= exact <= INT_MAX else None


def _as_integer(value: Quantity) -> int:
    whole = _whole(value)
    if whole is None:
        raise EvaluationError("cannot convert value to integer")
    return whole


def _compare(left: Quantity, right: Quantity) -> int:
    return wire.compare(left.text, right.text)


def _add(left: Quantity, right: Any) -> Quantity:
    return Quantity(wire.add(left.text, right.text if isinstance(right, Quantity) else right))


def _subtract(left: Quantity, right: Any) -> Quantity:
    return Quantity(wire.subtract(left.text, right.text if isinstance(right, Quantity) else right))


OVERLOADS: list[Overload] = [
    function("quantity", (STRING,), QUANTITY, _quantity, charges.reads()),
    function("isQuantity", (STRING,), BOOL, _is_quantity, charges.reads()),
    method("sign", (QUANTITY,), INT, lambda value: wire.sign(value.text)),
    method("isInteger", (QUANTITY,), BOOL, lambda value: _whole(value) is not None),
    method("asInteger", (QUANTITY,), INT, _as_integer),
    method("asApproximateFloat", (QUANTITY,), DOUBLE, lambda value: float(wire.exact(value.text))),
    method("isGreaterThan", (QUANTITY, QUANTITY), BOOL, lambda left, right: _compare(left, right) > 0),
    method("isLessThan", (QUANTITY, QUANTITY), BOOL, lambda left, right: _compare(left, right) < 0),
    method("compareTo", (QUANTITY, QUANTITY), INT, _compare),
    *(method("add", (QUANTITY, kind), QUANTITY, _add) for kind in (QUANTITY, INT)),
    *(method("sub", (QUANTITY, kind), QUANTITY, _subtract) for kind in (QUANTITY, INT)),
]
