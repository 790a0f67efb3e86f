"""Cron schedules: what is due when, also when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kplane.api.cron import ScheduleError, parse

NEW_YORK = ZoneInfo("America/New_York")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        pytest.param("*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z", id="later-than-now"),
        pytest.param("*/15 * * * *", "2026-01-01T00:14:59Z", "2026-01-01T00:15:00Z", id="second-before"),
        pytest.param("30 6-16/4 * * 1-5", "2026-01-02T14:30:00Z", "2026-01-05T06:30:00Z", id="working-days"),
        pytest.param("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z", id="leap-day"),
        pytest.param("0 0 13 * fri", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", id="either-day"),
        pytest.param("0 0 * * sun", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z", id="week-day"),
        pytest.param("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", id="descriptor"),
        pytest.param("@every 1h30m", "2026-01-01T00:00:07Z", "2026-01-01T01:30:07Z", id="every"),
    ],
)
def test_a_schedule_is_due(schedule: str, after: str, due: str) -> None:
    assert parse(schedule).next(moment(after), UTC) == moment(due)


@pytest.mark.parametrize(
    ("schedule", "after", "due"),
    [
        pytest.param(
            "30 2 * * *", "2026-03-08T00:00:00-05:00", "2026-03-09T02:30:00-04:00", id="skipped-hour"
        ),
        pytest.param(
            "30 1 * * *", "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00", id="first-of-two"
        ),
        pytest.param(
            "30 1 * * *", "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", id="second-of-two"
        ),
        pytest.param("30 1 * * *", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00", id="next-day"),
        pytest.param("0 * * * *", "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", id="hourly"),
    ],
)
def test_clock_changes_skip_and_repeat(schedule: str, after: str, due: str) -> None:
    assert parse(schedule).next(moment(after), NEW_YORK) == moment(due)


def test_a_day_that_never_comes_is_never_due() -> None:
    assert parse("0 0 30 2 *").next(moment("2026-01-01T00:00:00Z"), UTC) is None


def test_what_cannot_be_read_is_refused_in_upstreams_words() -> None:
    with pytest.raises(ScheduleError, match="failed to parse duration @every often"):
        parse("@every often")
