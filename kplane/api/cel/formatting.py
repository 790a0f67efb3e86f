"""`'%s is %d'.format([…])`: the clauses %s %d %f %e %x %X %o %b and %%. Source: cel-go `ext/formatting.go`.

Bounded: a precision is at most MOST_PRECISION digits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from .conversions import show_double, to_string
from .errors import EvaluationError
from .values import Duration, Timestamp, TypeValue, UInt, is_list, is_map, type_name

MOST_PRECISION = 1000
_CLAUSE = re.compile(r"%(?:\.(\d*))?(.?)", re.DOTALL)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _failed(reason: str) -> EvaluationError:
    return EvaluationError(f"error during formatting: {reason}")


def formatted(text: str, arguments: Sequence[Any]) -> str:
    """The text with its clauses replaced by the arguments, in order. Raises EvaluationError."""
    used = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal used
        precision, letter = match[1], match[2]
        if letter == "%":
            return "%"
        if not letter:
            raise EvaluationError("unexpected end of string")
        if letter not in "sdfexXob":
            raise EvaluationError(
                f'could not parse formatting clause: unrecognized formatting clause "{letter}"'
            )
        if used >= len(arguments):
            raise EvaluationError(f"index {used} out of range")
        used += 1
        return _clause(letter, arguments[used - 1], _digits(precision))

    return _CLAUSE.sub(clause, text)


def _digits(precision: str | None) -> int:
    if not precision:
        return 6 if precision is None else 0
    if len(precision) > 4 or int(precision) > MOST_PRECISION:
        raise EvaluationError(f"precision is too large: maximum is {MOST_PRECISION}")
    return int(precision)


def _clause(letter: str, value: Any, precision: int) -> str:
    match letter:
        case "s":
            return _string(value)
        case "d":
            return _decimal(value)
        case "f" | "e":
            return _float(letter, value, precision)
        case "b":
            if type(value) in (int, UInt, bool):
                return format(int(value), "b")
            raise _failed(f"only integers and bools can be formatted as binary, was given {type_name(value)}")
        case "o":
            if type(value) in (int, UInt):
                return format(int(value), "o")
            raise _failed(f"octal clause can only be used on integers, was given {type_name(value)}")
    return _hex(letter, value)


def _decimal(value: Any) -> str:
    if type(value) in (int, UInt):
        return str(int(value))
    raise _failed(f"decimal clause can only be used on integers, was given {type_name(value)}")


def _float(letter: str, value: Any, precision: int) -> str:
    number = _SPECIAL.get(value) if isinstance(value, str) else value
    if type(number) is not float:
        kind = "fixed-point" if letter == "f" else "scientific"
        raise _failed(f"{kind} clause can only be used on doubles, was given {type_name(value)}")
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "∞" if number > 0 else "-∞"
    return format(number, f".{precision}{letter}")


def _hex(letter: str, value: Any) -> str:
    if type(value) in (int, UInt):
        return format(int(value), letter)
    if type(value) in (str, bytes):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if letter == "X" else digits
    raise _failed(
        f"only integers, byte buffers, and strings can be formatted as hex, was given {type_name(value)}"
    )


def _string(value: Any) -> str:
    if value is None:
        return "null"
    if is_list(value):
        return f"[{', '.join(map(_inner, value))}]"
    if is_map(value):
        return f"{{{', '.join(sorted(f'{_inner(key)}:{_inner(item)}' for key, item in value.items()))}}}"
    if type(value) in (bool, int, UInt, float, str, bytes, Timestamp, Duration, TypeValue):
        return to_string(value)
    kinds = "strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
    raise _failed(f"string clause can only be used on {kinds}, was given {type_name(value)}")


def _inner(value: Any) -> str:
    """A value inside a list or map, written as a literal."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "b" + json.dumps(to_string(value), ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:.6f}" if math.isfinite(value) else f'"{show_double(value)}"'
    if isinstance(value, Timestamp | Duration):
        name = "timestamp" if isinstance(value, Timestamp) else "duration"
        return f'{name}("{to_string(value)}")'
    return _string(value)
