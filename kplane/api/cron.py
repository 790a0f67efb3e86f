"""Cron schedules: reading them, and when they are due next.

Rules and wording are robfig/cron v3's standard parser, which decides what a CronJob means: five fields, names
of months and days, `@daily` and the like, `@every 90m`; a day matches if both of its fields do, or either of
them where neither is a star. Libraries for cron read some of these otherwise, and none repeats a run in the
hour that a clock change repeats, as upstream does.

Invariant: a schedule is due at exactly those moments whose local time it names: what a clock change skips
does not run, what it repeats runs twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple, Protocol

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

HORIZON_YEARS = 5
"""A schedule that is not due for so long (30 February) is never due."""


class ScheduleError(ValueError):
    """The schedule cannot be read."""


class Schedule(Protocol):
    def next(self, after: datetime, zone: tzinfo) -> datetime | None:
        """The first moment later than `after` at which it is due, in UTC; None if there is none."""


@dataclass(frozen=True)
class Every:
    """A constant delay, in whole seconds."""

    seconds: int

    def next(self, after: datetime, zone: tzinfo) -> datetime | None:
        return after.replace(microsecond=0) + timedelta(seconds=self.seconds)


class _Field(NamedTuple):
    values: tuple[int, ...]
    star: bool


@dataclass(frozen=True)
class Crontab:
    """Five fields."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: _Field
    months: tuple[int, ...]
    weekdays: _Field

    def next(self, after: datetime, zone: tzinfo) -> datetime | None:
        today = after.astimezone(zone).date()
        for day in self._matching_days(today):
            if (found := self._on(day, after, zone)) is not None:
                return found
        return None

    def _matching_days(self, first: date) -> Iterator[date]:
        day = first
        while day.year <= first.year + HORIZON_YEARS:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._matches(day):
                yield day
            day += timedelta(days=1)

    def _matches(self, day: date) -> bool:
        in_month = day.day in self.days.values
        in_week = (day.weekday() + 1) % 7 in self.weekdays.values
        if self.days.star or self.weekdays.star:
            return in_month and in_week
        return in_month or in_week

    def _on(self, day: date, after: datetime, zone: tzinfo) -> datetime | None:
        """The first moment of this local day that is later than `after`."""
        if _offset(day, zone) == _offset(day + timedelta(days=1), zone):
            return self._on_plain_day(day, after, zone)
        moments = {moment for wall in self._times(day) for moment in _moments(wall, zone)}
        return min((moment for moment in moments if moment > after), default=None)

    def _on_plain_day(self, day: date, after: datetime, zone: tzinfo) -> datetime | None:
        """Without a change of the clock, local times come in order."""
        local = after.astimezone(zone).replace(tzinfo=None)
        for hour in self.hours:
            if datetime.combine(day, time(hour, 59)) <= local:
                continue
            for minute in self.minutes:
                wall = datetime.combine(day, time(hour, minute))
                if wall > local:
                    return wall.replace(tzinfo=zone).astimezone(UTC)
        return None

    def _times(self, day: date) -> Iterator[datetime]:
        for hour in self.hours:
            for minute in self.minutes:
                yield datetime.combine(day, time(hour, minute))


def _offset(day: date, zone: tzinfo) -> timedelta | None:
    return datetime.combine(day, time(), zone).utcoffset()


def _moments(wall: datetime, zone: tzinfo) -> Iterator[datetime]:
    """The moments at which clocks show `wall`: one, two or none."""
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
            yield moment


def parse(schedule: str) -> Schedule:
    """Read a schedule. Raises ScheduleError in upstream's words."""
    if schedule.startswith("@every "):
        return Every(_delay(schedule))
    if schedule.startswith("@"):
        if schedule not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {schedule}")
        schedule = _DESCRIPTORS[schedule]
    parts = schedule.split()
    if len(parts) != len(_FIELDS):
        raise ScheduleError(
            f"expected exactly {len(_FIELDS)} fields, found {len(parts)}: [{' '.join(parts)}]"
        )
    minutes, hours, days, months, weekdays = (
        _field(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True)
    )
    return Crontab(minutes.values, hours.values, days, months.values, weekdays)


def _delay(schedule: str) -> int:
    duration = schedule.removeprefix("@every ")
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ScheduleError(f"failed to parse duration {schedule}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return max(int(seconds), 1)


def _field(text: str, low: int, high: int, words: dict[str, int]) -> _Field:
    values: set[int] = set()
    star = False
    for expression in text.split(","):
        span, is_star = _span(expression, low, high, words)
        values.update(span)
        star = star or is_star
    return _Field(tuple(sorted(values)), star)


def _span(expression: str, low: int, high: int, words: dict[str, int]) -> tuple[range, bool]:
    """The values of one expression, and whether it leaves everything open."""
    span, *steps = expression.split("/")
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {expression}")
    bounds = span.split("-")
    if len(bounds) > 2:
        raise ScheduleError(f"too many hyphens: {expression}")
    star = bounds[0] in ("*", "?")
    if star:
        start, end = low, high
    else:
        start = _number(bounds[0], words)
        end = _number(bounds[1], words) if len(bounds) == 2 else (high if steps else start)
    step = _number(steps[0], {}) if steps else 1
    if start < low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise ScheduleError(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {expression}")
    return range(start, end + 1, step), star and step == 1


def _number(text: str, words: dict[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    if not re.fullmatch(r"[-+]?\d{1,9}", text, re.ASCII):
        raise ScheduleError(
            f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        )
    if int(text) < 0:
        raise ScheduleError(f"negative number ({text}) not allowed: {text}")
    return int(text)
