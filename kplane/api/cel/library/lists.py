"""Lists: Kubernetes' `sum`, `min`, `max`, `isSorted`, `indexOf`, `lastIndexOf`, and cel-go's `ext.Lists`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any

from .. import charges
from ..errors import EvaluationError
from ..overload import Overload, function, method
from ..types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    optional_of,
    variable,
)
from ..values import NONE, Duration, Optional, UInt, equal, frozen, is_list, type_name
from .standard import add_int

_T = variable("T")
_LIST = list_of(_T)
_ORDERED = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_MOST_RANGE = 1_000_000


def _is_sorted(items: Sequence[Any]) -> bool:
    return all(left <= right for left, right in pairwise(items))


def _best(name: str, better: Callable[[Any, Any], bool]) -> Callable[[Sequence[Any]], Any]:
    def run(items: Sequence[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        return reduce(lambda left, right: right if better(right, left) else left, items)

    return run


def _sums() -> list[Overload]:
    def doubles(items: Sequence[float]) -> float:
        return reduce(operator.add, items, 0.0)

    def durations(items: Sequence[Duration]) -> Duration:
        return Duration(reduce(add_int, (item.nanoseconds for item in items), 0))

    table: list[tuple[Type, Callable[[Any], Any]]] = [
        (INT, lambda items: reduce(add_int, items, 0)),
        (UINT, _sum_unsigned),
        (DOUBLE, doubles),
        (DURATION, durations),
    ]
    return [method("sum", (list_of(kind),), kind, run, charges.AGGREGATE) for kind, run in table]


def _sum_unsigned(items: Sequence[int]) -> UInt:
    total = sum(map(int, items))
    if total >= 2**64:
        raise EvaluationError("unsigned integer overflow")
    return UInt(total)


def _index_of(items: Sequence[Any], wanted: Any) -> int:
    return next((index for index, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: Sequence[Any], wanted: Any) -> int:
    return next((index for index in range(len(items) - 1, -1, -1) if equal(items[index], wanted)), -1)


def _slice(items: Sequence[Any], start: int, end: int) -> Sequence[Any]:
    for name, index in (("start", start), ("end", end)):
        if index < 0:
            raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
        if index > len(items) and name == "end":
            raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    if start > end:
        raise EvaluationError(
            f"cannot slice({start}, {end}), start index must be less than or equal to end index"
        )
    return list(items[start:end])


def _flatten(items: Sequence[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat = list(items)
    while depth and any(map(is_list, flat)):
        flat = [inner for item in flat for inner in (item if is_list(item) else (item,))]
        depth -= 1
    return flat


def _flatten_price(items: Sequence[Any], depth: int = 1) -> int:
    return 1 + charges.tree_cost(items)


def _distinct(items: Sequence[Any]) -> list[Any]:
    seen: dict[Any, Any] = {}
    for item in items:
        seen.setdefault(frozen(item), item)
    return list(seen.values())


def _sort(items: Sequence[Any]) -> list[Any]:
    kinds = {type_name(item) for item in items}
    if len(kinds) > 1:
        raise EvaluationError("list elements must have the same type")
    try:
        return sorted(items)
    except TypeError:
        raise EvaluationError("list elements must be comparable") from None


def _range(count: int) -> list[int]:
    if count > _MOST_RANGE:
        raise EvaluationError(f"range is too large: maximum is {_MOST_RANGE}")
    return list(range(count))


def _first(items: Sequence[Any]) -> Optional:
    return Optional(items[0], True) if items else NONE


def _last(items: Sequence[Any]) -> Optional:
    return Optional(items[-1], True) if items else NONE


_FLATTEN = charges.LISTING._replace(before=_flatten_price)
_WHOLE = charges.LISTING._replace(before=lambda items: 1 + charges.tree_cost(items))

OVERLOADS: list[Overload] = [
    *(method("isSorted", (list_of(kind),), BOOL, _is_sorted, charges.AGGREGATE) for kind in _ORDERED),
    *(
        method("min", (list_of(kind),), kind, _best("min", operator.lt), charges.AGGREGATE)
        for kind in _ORDERED
    ),
    *(
        method("max", (list_of(kind),), kind, _best("max", operator.gt), charges.AGGREGATE)
        for kind in _ORDERED
    ),
    *_sums(),
    method("indexOf", (_LIST, _T), INT, _index_of, charges.AGGREGATE),
    method("lastIndexOf", (_LIST, _T), INT, _last_index_of, charges.AGGREGATE),
    method("slice", (_LIST, INT, INT), _LIST, _slice, charges.LISTING),
    method("flatten", (list_of(_LIST),), _LIST, _flatten, _FLATTEN),
    method("flatten", (list_of(DYN), INT), list_of(DYN), _flatten, _FLATTEN),
    method("distinct", (_LIST,), _LIST, _distinct, _WHOLE),
    method("reverse", (_LIST,), _LIST, lambda items: list(reversed(items)), charges.LISTING),
    method("sort", (_LIST,), _LIST, _sort, _WHOLE),
    method("first", (_LIST,), optional_of(_T), _first),
    method("last", (_LIST,), optional_of(_T), _last),
    function("lists.range", (INT,), list_of(INT), _range, charges.counted()),
]
