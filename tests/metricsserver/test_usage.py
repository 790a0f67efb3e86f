"""Rates from measurements."""

from __future__ import annotations

import pytest

from kplane.metricsserver.exposition import ContainerKey, Point, Reading
from kplane.metricsserver.usage import Usage, Use

WEB = ContainerKey("default", "web-1", "web")


def after(*rounds: Point) -> Use | None:
    """What is told of one container after it was measured so."""
    usage = Usage()
    for point in rounds:
        usage.take({}, [Reading(containers={WEB: point})])
    return usage.container(WEB)


def test_a_rate_needs_two_measurements() -> None:
    assert after(Point(100, 5.0, 10)) is None
    assert after(Point(100, 5.0, 10), Point(115, 8.0, 20)) == Use(0.2, 20, 115, 15)


def test_the_start_of_a_container_counts_as_a_measurement() -> None:
    assert after(Point(100, 5.0, 10, started=80)) == Use(0.25, 10, 100, 20)
    assert after(Point(100, 5.0, 10, started=95)) is None, "too young"


def test_a_restart_is_not_spanned() -> None:
    before = Point(100, 50.0, 10, started=10)
    assert after(before, Point(115, 1.0, 20, started=105)) == Use(0.1, 20, 115, 10)
    assert after(Point(100, 50.0, 10), Point(115, 1.0, 20)) is None


def test_the_same_measurement_told_again_changes_nothing() -> None:
    first, second = Point(100, 5.0, 10), Point(115, 8.0, 20)
    assert after(first, second, second) == Use(0.2, 20, 115, 15)


def test_who_is_not_told_of_any_more_is_forgotten() -> None:
    usage = Usage()
    usage.take({"a": Point(1, 1.0, 1)}, [Reading(containers={WEB: Point(100, 5.0, 10, started=50)})])
    usage.take({"a": Point(11, 2.0, 1)}, [])

    assert usage.container(WEB) is None
    assert usage.node("a") == Use(0.1, 1, 11, 10)
    usage.take({}, [])
    assert usage.node("a") is None


@pytest.mark.parametrize(("rounds", "ready"), [(1, False), (2, True)])
def test_it_is_ready_when_anything_can_be_told(rounds: int, ready: bool) -> None:
    usage = Usage()
    for number in range(rounds):
        usage.take({"a": Point(number * 15, number * 1.0, 1)}, [])
    assert usage.ready is ready
