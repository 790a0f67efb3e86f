"""How moments are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kplane.api.clock import rfc3339

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        pytest.param(NOON, "2026-01-02T12:00:00Z", id="whole"),
        pytest.param(NOON + timedelta(microseconds=999_999), "2026-01-02T12:00:00Z", id="end of the second"),
        pytest.param(NOON + timedelta(seconds=1), "2026-01-02T12:00:01Z", id="next second"),
        pytest.param(NOON - timedelta(microseconds=1), "2026-01-02T11:59:59Z", id="second before"),
        pytest.param(
            datetime(2026, 1, 2, 13, tzinfo=timezone(timedelta(hours=1))), "2026-01-02T12:00:00Z", id="zone"
        ),
        pytest.param(datetime(33, 1, 1, tzinfo=UTC), "0033-01-01T00:00:00Z", id="long ago"),
    ],
)
def test_a_moment_is_written_as_its_second_whatever_was_written_before(moment: datetime, text: str) -> None:
    for before in (NOON, moment):
        rfc3339(before)

        assert rfc3339(moment) == text
