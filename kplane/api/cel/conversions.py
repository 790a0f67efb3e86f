"""Values of one type from another: `int(x)`, `string(x)`, `timestamp(x)`, `duration(x)` and the like.

Also what views of JSON need: RFC 3339 times and Go's durations, to the nanosecond.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import EvaluationError
from .values import INT_MAX, INT_MIN, UINT_MAX, Duration, Timestamp, TypeValue, UInt, type_name

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62135596800 * SECOND, 253402300800 * SECOND - 1
"""Years 1 to 9999."""
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_SPAN = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII).fullmatch
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII).fullmatch
_SPECIAL = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
_TRUE, _FALSE = (
    frozenset({"1", "t", "true", "TRUE", "True"}),
    frozenset({"0", "f", "false", "FALSE", "False"}),
)
_MOST_DIGITS = 400


def failed(value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


def checked_int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def checked_uint(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise EvaluationError("unsigned integer overflow")


def checked_time(nanoseconds: int) -> Timestamp:
    if _FIRST <= nanoseconds <= _LAST:
        return Timestamp(nanoseconds)
    raise EvaluationError("timestamp overflow")


def checked_duration(nanoseconds: int) -> Duration:
    if INT_MIN <= nanoseconds <= INT_MAX:
        return Duration(nanoseconds)
    raise EvaluationError("duration overflow")


def to_int(value: Any) -> int:
    match value:
        case float():
            if not math.isfinite(value) or not -(2.0**63) < value < 2.0**63:
                raise EvaluationError("integer overflow")
            return int(value)
        case str():
            if not _DECIMAL(value) or len(value) > _MOST_DIGITS:
                raise EvaluationError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
            number = int(value)
            if not INT_MIN <= number <= INT_MAX:
                raise EvaluationError(f'strconv.ParseInt: parsing "{value}": value out of range')
            return number
        case Timestamp():
            return value.nanoseconds // SECOND
        case Duration():
            return value.nanoseconds
    return checked_int(int(value))


def to_uint(value: Any) -> UInt:
    match value:
        case float():
            if not math.isfinite(value) or not 0 <= value < 2.0**64:
                raise EvaluationError("unsigned integer overflow")
            return UInt(int(value))
        case str():
            if not (value.isascii() and value.isdecimal()) or len(value) > _MOST_DIGITS:
                raise EvaluationError(f'strconv.ParseUint: parsing "{value}": invalid syntax')
            if int(value) > UINT_MAX:
                raise EvaluationError(f'strconv.ParseUint: parsing "{value}": value out of range')
            return UInt(int(value))
    return checked_uint(int(value))


def to_double(value: Any) -> float:
    if not isinstance(value, str):
        return float(value)
    special = _SPECIAL.get(value.lstrip("+-").lower())
    if special is not None and value.count("+") + value.count("-") <= 1:
        return -special if value[0] == "-" else special
    if not _FLOAT(value) or len(value) > _MOST_DIGITS:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{value}": invalid syntax')
    number = float(value)
    if math.isinf(number):
        raise EvaluationError(f'strconv.ParseFloat: parsing "{value}": value out of range')
    return number


def to_bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise EvaluationError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def to_bytes(value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def to_string(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(int(value))
        case float():
            return show_double(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
        case Timestamp():
            return show_timestamp(value)
        case Duration():
            return show_duration(value)
        case TypeValue():
            return value.name
    if (
        isinstance(value, object)
        and hasattr(value, "type_name")
        and type(value).__str__ is not object.__str__
    ):
        return str(value)
    raise failed(value, "string")


def show_double(value: float) -> str:
    """As Go's `%g`: the shortest digits, an exponent below 1e-4 and from 1e21 on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    digits, _, power = f"{value!r}".partition("e")
    if not power and 1e-4 <= abs(value) < 1e16:
        return digits.removesuffix(".0")
    # repr switches to an exponent earlier than Go does.
    if 1e-4 <= abs(value) < 1e21:
        return format(value, "f").rstrip("0").rstrip(".") if "." in format(value, "f") else format(value, "f")
    sign = "-" if power.startswith("-") else "+"
    return f"{digits.removesuffix('.0')}e{sign}{power.lstrip('+-').zfill(2)}"


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339, to the nanosecond. Raises EvaluationError."""
    match = _RFC3339(text)
    if match is None:
        raise EvaluationError(f'invalid timestamp "{text[:64]}"')
    zone = "+00:00" if match[4] in "zZ" else match[4]
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError:
        raise EvaluationError(f'invalid timestamp "{text[:64]}"') from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return checked_time(seconds * SECOND + int((match[3] or "0")[:9].ljust(9, "0")))


def parse_date(text: str) -> Timestamp:
    """A full date, or an RFC 3339 time: what the format `date` admits."""
    return parse_timestamp(f"{text}T00:00:00Z") if len(text) == 10 else parse_timestamp(text)


def show_timestamp(value: Timestamp) -> str:
    seconds, nano = divmod(value.nanoseconds, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nano:09}".rstrip("0") if nano else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + fraction + "Z"


def parse_duration(text: str) -> Duration:
    """Go's form: `1h30m`, `-1.5s`, `0`. Raises EvaluationError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return Duration(0)
    total, at = 0, 0
    while at < len(body):
        match = _SPAN.match(body, at)
        if match is None or not (match[1] or match[2]) or match.end() - at > _MOST_DIGITS:
            break
        unit = _UNITS[match[3]]
        total += int(match[1] or "0") * unit
        if fraction := match[2]:
            total += int(fraction) * unit // 10 ** len(fraction)
        at = match.end()
    if not body or at < len(body) or total > INT_MAX + (text[0] == "-"):
        raise EvaluationError(f'time: invalid duration "{text[:64]}"')
    return Duration(-total if text[0] == "-" else total)


def show_duration(value: Duration) -> str:
    """As cel-go: seconds with what fraction there is, e.g. `90s`, `0.5s`."""
    whole, nano = divmod(abs(value.nanoseconds), SECOND)
    fraction = f".{nano:09}".rstrip("0") if nano else ""
    return f"{'-' if value.nanoseconds < 0 else ''}{whole}{fraction}s"


def parse_bytes(text: str) -> bytes:
    """Base64, as JSON has bytes. Raises EvaluationError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("byte format error decoding base64") from None


def to_timestamp(value: Any) -> Timestamp:
    if isinstance(value, Timestamp):
        return value
    return parse_timestamp(value) if isinstance(value, str) else checked_time(value * SECOND)


def to_duration(value: Any) -> Duration:
    if isinstance(value, Duration):
        return value
    return parse_duration(value) if isinstance(value, str) else checked_duration(value)


def lenient(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    """A view of a string in JSON; what is no string is left to whoever validates the object."""

    def view(value: Any) -> Any:
        return parse(value) if isinstance(value, str) else value

    return view


def double_view(value: Any) -> Any:
    """`1` in JSON is the double 1.0 where the schema says number."""
    return float(value) if type(value) is int else value
