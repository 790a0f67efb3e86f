"""Durations and ages for people: `5m30s`, `3d4h`. Rules: apimachinery `util/duration`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def human(seconds: float) -> str:
    """Two or three significant digits of a duration."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if whole < 10 * MINUTE:
        return _two(whole, MINUTE, "m", 1, "s")
    if whole < 3 * HOUR:
        return f"{whole // MINUTE}m"
    if whole < 8 * HOUR:
        return _two(whole, HOUR, "h", MINUTE, "m")
    if whole < 2 * DAY:
        return f"{whole // HOUR}h"
    if whole < 8 * DAY:
        return _two(whole, DAY, "d", HOUR, "h")
    if whole < 2 * YEAR:
        return f"{whole // DAY}d"
    if whole < 8 * YEAR:
        return _two(whole, YEAR, "y", DAY, "d")
    return f"{whole // YEAR}y"


def _two(seconds: int, big: int, big_letter: str, small: int, small_letter: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_letter}" + (f"{rest}{small_letter}" if rest else "")


def moment(text: str) -> datetime:
    """A timestamp of the API; one without an offset is in UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def since(text: str | None, now: datetime) -> str:
    """How long ago a timestamp is; `<unknown>` if there is none."""
    return human((now - moment(text)).total_seconds()) if text else "<unknown>"


def age(obj: dict[str, Any], now: datetime) -> str:
    """The cell of the column Age."""
    return since(obj["metadata"].get("creationTimestamp"), now)
