"""The shapes of cost that calls have, each as an estimate and as a price at run time.

Source: cel-go `checker/cost.go`, `interpreter/runtimecost.go`, `ext/*.go`; apiserver
`pkg/cel/library/cost.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from .errors import BudgetExceeded
from .overload import (
    LARGEST,
    ONE,
    REGEX,
    TRAVERSAL,
    UNKNOWN,
    Charge,
    Estimated,
    Operand,
    Range,
    size,
    traversal,
)
from .values import ListView, MapView, UInt, is_list, is_map

_LEAVES = frozenset({str, int, float, bool, type(None), bytes, UInt})
MOST_NODES = 1_000_000
"""A value with more items, those of items counted each time that they are met, is not read through at all."""


def fixed(cost: int) -> Charge:
    """Always the same."""
    return Charge(lambda operands: Estimated(Range(cost, cost)), lambda *args: cost)


def reads(index: int = 0, factor: float = 1.0, *, keeps_size: bool = False) -> Charge:
    """One argument is read through, `factor` times; `keeps_size` if the result is at most as long."""

    def estimate(operands: Sequence[Operand]) -> Estimated:
        length = operands[index].size
        return Estimated(length.factor(TRAVERSAL * factor), length if keeps_size else None)

    return Charge(estimate, lambda *args: ceil(size(args[index]) * TRAVERSAL * factor))


def _matching(operands: Sequence[Operand]) -> Estimated:
    # One is added so that a costly expression is not free on an empty text.
    text = operands[0].size.plus(ONE).factor(TRAVERSAL)
    return Estimated(text.times(operands[1].size.factor(REGEX)))


def regex_price(text: Any, pattern: Any, *rest: Any) -> int:
    return ceil((1.0 + size(text)) * TRAVERSAL) * ceil(size(pattern) * REGEX)


MATCH = Charge(_matching, regex_price)
FIND = Charge(
    lambda operands: Estimated(_matching(operands).cost, Range(0, operands[0].size.most)), regex_price
)
CONTAINS = Charge(
    lambda operands: Estimated(operands[0].size.factor(TRAVERSAL).times(operands[1].size.factor(TRAVERSAL))),
    lambda text, part: traversal(text) * traversal(part),
)
# Upstream estimates by the affix and charges by the text.
AFFIX = Charge(
    lambda operands: Estimated(operands[1].size.factor(TRAVERSAL)), lambda text, affix: traversal(text)
)


def weigh(value: Any) -> int:
    """Items of a value and of all that it contains, a string's length in tens; 0 of a scalar.

    Values share parts: a list of two lists that are one list, forty times over, fits into memory, but not
    into any time. So the count ends at MOST_NODES, with BudgetExceeded.
    """
    if isinstance(value, str | bytes):
        return len(value) // 10
    weight, pending = 0, [value]
    while pending:
        value = pending.pop()
        if type(value) in (ListView, MapView):
            value = value.raw
        if is_list(value):
            items = value
        elif is_map(value):
            items = value.values()
        else:
            continue
        weight += len(value)
        if weight > MOST_NODES:
            raise BudgetExceeded
        pending += [item for item in items if type(item) not in _LEAVES]
    return weight


# Upstream counts the items of the list only; here it is also paid for what is large to compare.
MEMBER = Charge(
    lambda operands: Estimated(operands[1].size),
    lambda item, items: size(items) * (1 + weigh(item) // 4),
)


def _comparing(operands: Sequence[Operand]) -> Estimated:
    most = min(operands[0].size.most, operands[1].size.most)
    return Estimated(Range(1 if most else 0, most).factor(TRAVERSAL))


def _compare_price(left: Any, right: Any) -> int:
    price = ceil(min(size(left), size(right)) * TRAVERSAL)
    # As upstream's, but that nested values are paid for, too.
    return price + weigh(left) // 4 if is_list(left) or is_map(left) else price


COMPARE = Charge(_comparing, _compare_price)


def _joined(operands: Sequence[Operand]) -> Estimated:
    total = operands[0].size.plus(operands[1].size)
    return Estimated(total.factor(TRAVERSAL), total)


CONCATENATE = Charge(_joined, lambda left, right: ceil((size(left) + size(right)) * TRAVERSAL))


# Upstream links lists in constant time; here they are copied, and long copies are paid for.
APPEND = Charge(
    lambda operands: Estimated(ONE, operands[0].size.plus(operands[1].size)),
    lambda left, right: 1 + (len(left) + len(right)) // 64,
)


def _per_item(operands: Sequence[Operand]) -> Estimated:
    """Aggregations; of `indexOf` and `lastIndexOf`, the receiver may be a string."""
    target = operands[0]
    if target.type.kind != "list":
        return Estimated(target.size.factor(TRAVERSAL))
    cost = ONE
    if target.type.params[0].kind in ("string", "bytes"):
        cost = cost.plus(target.item.factor(TRAVERSAL))
    return Estimated(target.size.times(cost))


def tree_cost(value: Any) -> int:
    """Reading a value and all that it contains. Raises BudgetExceeded, as `weigh`."""
    weigh(value)
    return _tree_cost(value)


def _tree_cost(value: Any) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return int(len(value) * TRAVERSAL)
    if is_list(value):
        return sum(map(_tree_cost, value))
    if is_map(value):
        return sum(_tree_cost(key) + _tree_cost(item) for key, item in value.items())
    return 1


AGGREGATE = Charge(_per_item, lambda items, *rest: tree_cost(items))


def _replaced(operands: Sequence[Operand]) -> Estimated:
    """The longest result replaces the shortest parts, the shortest one the longest."""
    text, old, new = operands[0].size, operands[1].size, operands[2].size
    if old.least == 0:
        most = min(text.most + 1, LARGEST) * new.most + text.most
    elif new.most <= old.least:
        most = text.most
    else:
        most = ceil(text.most / old.least) * new.most
    if old.most == 0:
        least = (text.least + 1) * new.least + text.least
    elif old.most <= new.least:
        least = text.least
    else:
        least = ceil(text.least / old.most) * new.least
    return Estimated(text.factor(2 * TRAVERSAL), Range(min(least, LARGEST), min(most, LARGEST)))


def _replace_price(text: str, old: str, new: str, count: int = -1) -> int:
    price = ceil(len(text) * 2 * TRAVERSAL)
    found = len(text) + 1 if not old else len(text) // len(old)
    longest = len(text) + (found if count < 0 else min(found, count)) * max(len(new) - len(old), 0)
    # A result that outgrows its text is paid for before it is made.
    return (
        price
        if longest <= 16 * max(len(text), 64)
        else max(price, ceil((len(text) + text.count(old) * len(new)) * TRAVERSAL))
    )


REPLACE = Charge(_replaced, _replace_price)


def _split(operands: Sequence[Operand]) -> Estimated:
    limit = operands[2].literal if len(operands) > 2 else None
    text = operands[0].size
    most = limit if isinstance(limit, int) and limit >= 0 else text.most
    return Estimated(text.factor(2 * TRAVERSAL), Range(0, most))


SPLIT = Charge(_split, lambda text, *rest: ceil(len(text) * 2 * TRAVERSAL))


def _join(operands: Sequence[Operand]) -> Estimated:
    items = operands[0]
    length = items.size.times(items.item)
    if len(operands) > 1:
        gaps = Range(max(items.size.least - 1, 0), max(items.size.most - 1, 0))
        length = length.plus(operands[1].size.times(gaps))
    return Estimated(length.factor(TRAVERSAL), length)


def _join_price(items: Sequence[str], separator: str = "") -> int:
    return ceil((sum(map(len, items)) + len(separator) * max(len(items) - 1, 0)) * 2 * TRAVERSAL)


JOIN = Charge(_join, _join_price)


def pairs(factor: int) -> Charge:
    """Every item of one list against every item of the other."""
    return Charge(
        lambda operands: Estimated(operands[0].size.times(operands[1].size).factor(factor).plus(ONE)),
        lambda left, right: len(left) * len(right) * factor + 1 + (weigh(left) + weigh(right)) // 4,
    )


QUOTE = Charge(
    lambda operands: Estimated(
        operands[0].size.factor(TRAVERSAL), operands[0].size.times(Range(1, 2)).plus(Range(2, 2))
    ),
    lambda text: traversal(text),
)
TO_BYTES = Charge(
    lambda operands: Estimated(operands[0].size.factor(TRAVERSAL), operands[0].size.times(Range(1, 4))),
    lambda value: traversal(value),
)
FROM_BYTES = Charge(
    lambda operands: Estimated(
        operands[0].size.factor(TRAVERSAL), Range(operands[0].size.least // 4, operands[0].size.most)
    ),
    lambda value: traversal(value),
)


def _sorting(operands: Sequence[Operand]) -> Estimated:
    return Estimated(operands[0].size.factor(1).plus(ONE), operands[0].size)


LISTING = Charge(_sorting, lambda items, *rest: 1 + len(items))
"""Makes a list of at most as many items."""


def counted() -> Charge:
    """Makes as many items as the argument says."""
    return Charge(lambda operands: Estimated(UNKNOWN, UNKNOWN), lambda count: 1 + max(count, 0))


FORMAT = Charge(
    lambda operands: Estimated(operands[0].size.factor(TRAVERSAL).plus(operands[1].size), UNKNOWN),
    lambda text, args: traversal(text) + tree_cost(args),
)
