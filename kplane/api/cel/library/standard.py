"""The language's own operators and functions: arithmetic, comparison, containment, conversion, size, strings.

Source: the CEL specification, `langdef.md`; messages are cel-go's.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from .. import charges
from ..conversions import (
    checked_duration,
    checked_int,
    checked_time,
    checked_uint,
    to_bool,
    to_bytes,
    to_double,
    to_duration,
    to_int,
    to_string,
    to_timestamp,
    to_uint,
)
from ..errors import EvaluationError
from ..overload import Charge, Overload, function, method
from ..regular import compiled
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
    map_of,
    type_of_type,
    variable,
)
from ..values import ListView, TypeValue, UInt, equal, list_key, type_name

_A, _B = variable("A"), variable("B")
_LIST, _MAP = list_of(_A), map_of(_A, _B)


def add_int(left: int, right: int) -> int:
    return checked_int(left + right)


def subtract_int(left: int, right: int) -> int:
    return checked_int(left - right)


def multiply_int(left: int, right: int) -> int:
    return checked_int(left * right)


def divide_int(left: int, right: int) -> int:
    """Towards zero."""
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return checked_int(quotient if (left < 0) == (right < 0) else -quotient)


def modulo_int(left: int, right: int) -> int:
    """With the sign of the left one."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    if right == -1 and left == -(2**63):
        raise EvaluationError("integer overflow")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _unsigned(compute: Callable[[int, int], int], none: str = "") -> Callable[[int, int], UInt]:
    def run(left: int, right: int) -> UInt:
        if none and right == 0:
            raise EvaluationError(none)
        return checked_uint(compute(int(left), int(right)))

    return run


def divide_double(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def multiply_double(left: float, right: float) -> float:
    return left * right


def concatenate_lists(left: Sequence[Any], right: Sequence[Any]) -> Any:
    """Sets and associative lists merge: items of the right one replace or follow those of the left."""
    if not isinstance(left, ListView) or left.kind == "atomic":
        return [*left, *right]
    merged = {list_key(left, item): item for item in left}
    merged.update((list_key(left, item), item) for item in right)
    return ListView(list(merged.values()), None, left.kind, left.keys)


_ARITHMETIC: list[Overload] = [
    function("_+_", (INT, INT), INT, add_int),
    function("_-_", (INT, INT), INT, subtract_int),
    function("_*_", (INT, INT), INT, multiply_int),
    function("_/_", (INT, INT), INT, divide_int),
    function("_%_", (INT, INT), INT, modulo_int),
    function("_+_", (UINT, UINT), UINT, _unsigned(operator.add)),
    function("_-_", (UINT, UINT), UINT, _unsigned(operator.sub)),
    function("_*_", (UINT, UINT), UINT, _unsigned(operator.mul)),
    function("_/_", (UINT, UINT), UINT, _unsigned(operator.floordiv, "division by zero")),
    function("_%_", (UINT, UINT), UINT, _unsigned(operator.mod, "modulus by zero")),
    function("_+_", (DOUBLE, DOUBLE), DOUBLE, operator.add),
    function("_-_", (DOUBLE, DOUBLE), DOUBLE, operator.sub),
    function("_*_", (DOUBLE, DOUBLE), DOUBLE, multiply_double),
    function("_/_", (DOUBLE, DOUBLE), DOUBLE, divide_double),
    function("-_", (INT,), INT, lambda value: checked_int(-value)),
    function("-_", (DOUBLE,), DOUBLE, operator.neg),
    function("_+_", (STRING, STRING), STRING, operator.add, charges.CONCATENATE),
    function("_+_", (BYTES, BYTES), BYTES, operator.add, charges.CONCATENATE),
    function("_+_", (_LIST, _LIST), _LIST, concatenate_lists, charges.APPEND),
    function(
        "_+_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: checked_time(a.nanoseconds + b.nanoseconds)
    ),
    function(
        "_+_", (DURATION, TIMESTAMP), TIMESTAMP, lambda a, b: checked_time(a.nanoseconds + b.nanoseconds)
    ),
    function(
        "_+_", (DURATION, DURATION), DURATION, lambda a, b: checked_duration(a.nanoseconds + b.nanoseconds)
    ),
    function(
        "_-_", (TIMESTAMP, DURATION), TIMESTAMP, lambda a, b: checked_time(a.nanoseconds - b.nanoseconds)
    ),
    function(
        "_-_", (TIMESTAMP, TIMESTAMP), DURATION, lambda a, b: checked_duration(a.nanoseconds - b.nanoseconds)
    ),
    function(
        "_-_", (DURATION, DURATION), DURATION, lambda a, b: checked_duration(a.nanoseconds - b.nanoseconds)
    ),
]


def _comparisons() -> list[Overload]:
    """Of one ordered type, and of numbers across their types."""
    operators = {"_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge}
    numbers = (INT, UINT, DOUBLE)
    pairs: list[tuple[Type, Type, Charge | None]] = [(a, b, None) for a, b in product(numbers, numbers)]
    pairs += [(kind, kind, None) for kind in (BOOL, TIMESTAMP, DURATION)]
    pairs += [(kind, kind, charges.COMPARE) for kind in (STRING, BYTES)]
    return [
        function(name, (a, b), BOOL, run, charge) for name, run in operators.items() for a, b, charge in pairs
    ]


def _in_list(item: Any, items: Sequence[Any]) -> bool:
    return any(equal(item, other) for other in items)


def _in_map(key: Any, mapping: Any) -> bool:
    return key in mapping and (type(key) is not bool or any(key is other for other in mapping))


def index_list(items: Sequence[Any], index: int) -> Any:
    if 0 <= index < len(items):
        return items[index]
    raise EvaluationError(f"index out of bounds: {index}")


def index_map(mapping: Any, key: Any) -> Any:
    if _in_map(key, mapping):
        return mapping[key]
    raise EvaluationError(f"no such key: {to_string(key)}")


def _matches(text: str, pattern: str) -> bool:
    return compiled(pattern).search(text) is not None


_GENERAL: list[Overload] = [
    function("_==_", (_A, _A), BOOL, equal, charges.COMPARE),
    function("_!=_", (_A, _A), BOOL, lambda left, right: not equal(left, right), charges.COMPARE),
    function("!_", (BOOL,), BOOL, operator.not_),
    function("_&&_", (BOOL, BOOL), BOOL, lambda left, right: left and right),
    function("_||_", (BOOL, BOOL), BOOL, lambda left, right: left or right),
    function("_?_:_", (BOOL, _A, _A), _A, lambda condition, yes, no: yes if condition else no),
    function("@in", (_A, _LIST), BOOL, _in_list, charges.MEMBER),
    function("@in", (_A, _MAP), BOOL, _in_map),
    function("_[_]", (_LIST, INT), _A, index_list),
    function("_[_]", (_MAP, _A), _B, index_map),
    function("dyn", (_A,), DYN, lambda value: value),
    function("type", (_A,), type_of_type(_A), lambda value: TypeValue(type_name(value))),
]

_TEXT: list[Overload] = [
    *(
        make("size", (kind,), INT, len)
        for kind in (STRING, BYTES, _LIST, _MAP)
        for make in (function, method)
    ),
    method("contains", (STRING, STRING), BOOL, lambda text, part: part in text, charges.CONTAINS),
    method("startsWith", (STRING, STRING), BOOL, str.startswith, charges.AFFIX),
    method("endsWith", (STRING, STRING), BOOL, str.endswith, charges.AFFIX),
    method("matches", (STRING, STRING), BOOL, _matches, charges.MATCH),
    function("matches", (STRING, STRING), BOOL, _matches, charges.MATCH),
]


def _conversions() -> list[Overload]:
    table: list[tuple[str, Type, Callable[[Any], Any], tuple[Type, ...]]] = [
        ("int", INT, to_int, (INT, UINT, DOUBLE, STRING, TIMESTAMP, DURATION)),
        ("uint", UINT, to_uint, (UINT, INT, DOUBLE, STRING)),
        ("double", DOUBLE, to_double, (DOUBLE, INT, UINT, STRING)),
        ("bool", BOOL, to_bool, (BOOL, STRING)),
        ("bytes", BYTES, to_bytes, (BYTES, STRING)),
        ("string", STRING, to_string, (STRING, BOOL, INT, UINT, DOUBLE, BYTES, TIMESTAMP, DURATION)),
        ("timestamp", TIMESTAMP, to_timestamp, (TIMESTAMP, STRING, INT)),
        ("duration", DURATION, to_duration, (DURATION, STRING, INT)),
    ]
    special = {("bytes", "string"): charges.TO_BYTES, ("string", "bytes"): charges.FROM_BYTES}
    return [
        function(name, (source,), target, run, special.get((name, source.kind)))
        for name, target, run, sources in table
        for source in sources
    ]


OVERLOADS = [*_ARITHMETIC, *_comparisons(), *_GENERAL, *_TEXT, *_conversions()]
