"""Durations for people."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kplane.apiserver.tables.durations import human, since

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (599, "9m59s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 1800, "3h30m"),
        (8 * 3600 + 1800, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (8 * 86400 + 3600, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (800 * 86400, "2y70d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_durations_are_as_precise_as_people_need(seconds: float, text: str) -> None:
    assert human(seconds) == text


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [
        pytest.param("2026-01-02T03:03:05Z", "60s", id="seconds"),
        pytest.param("2026-01-02T03:03:05.500000Z", "59s", id="micro-time"),
        pytest.param(None, "<unknown>", id="missing"),
    ],
)
def test_age_of_a_timestamp(timestamp: str | None, text: str) -> None:
    assert since(timestamp, NOW) == text
