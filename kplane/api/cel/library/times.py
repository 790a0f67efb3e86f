"""Parts of timestamps, in UTC or a named zone, and of durations.

Zones are IANA names or offsets such as `-08:00`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..conversions import SECOND
from ..errors import EvaluationError
from ..overload import Overload, method
from ..types import DURATION, INT, STRING, TIMESTAMP
from ..values import Duration, Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII).fullmatch


@lru_cache(maxsize=128)
def _zone(name: str) -> tzinfo:
    if match := _OFFSET(name):
        span = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if span < timedelta(days=1):
            return timezone(-span if match[1] == "-" else span)
    try:
        # Looks below the folder of zones only; other paths are a ValueError.
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass  # said below, as for a wrong offset
    raise EvaluationError(f"unknown time zone {name[:64]}")


def _moment(value: Timestamp, zone: str = "") -> datetime:
    moment = _EPOCH + timedelta(seconds=value.nanoseconds // SECOND)
    try:
        return moment.astimezone(_zone(zone)) if zone and zone != "UTC" else moment
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
}


def _part(read: Callable[[datetime], int]) -> Callable[..., int]:
    def run(value: Timestamp, zone: str = "") -> int:
        return read(_moment(value, zone))

    return run


def _milliseconds(value: Timestamp, zone: str = "") -> int:
    return value.nanoseconds % SECOND // 10**6


def _towards_zero(value: Duration, unit: int) -> int:
    whole = abs(value.nanoseconds) // unit
    return -whole if value.nanoseconds < 0 else whole


def _span(unit: int) -> Callable[[Any], int]:
    return lambda value: _towards_zero(value, unit)


_READERS = {**{name: _part(read) for name, read in _PARTS.items()}, "getMilliseconds": _milliseconds}

OVERLOADS: list[Overload] = [
    *(method(name, (TIMESTAMP,), INT, run) for name, run in _READERS.items()),
    *(method(name, (TIMESTAMP, STRING), INT, run) for name, run in _READERS.items()),
    method("getHours", (DURATION,), INT, _span(3600 * SECOND)),
    method("getMinutes", (DURATION,), INT, _span(60 * SECOND)),
    method("getSeconds", (DURATION,), INT, _span(SECOND)),
    method("getMilliseconds", (DURATION,), INT, _span(10**6)),
]
