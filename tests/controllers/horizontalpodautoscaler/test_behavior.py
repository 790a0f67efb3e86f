"""How much of a wish for replicas happens, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kplane.controllers.horizontalpodautoscaler.behavior import Bounds, History, settle
from kplane.controllers.horizontalpodautoscaler.views import Behavior, Policy, Rules

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WIDE = Bounds(1, 1000)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("current", "wanted", "bounds", "replicas", "limit"),
    [
        pytest.param(3, 5, WIDE, 5, "DesiredWithinRange", id="as-wished"),
        pytest.param(3, 50, WIDE, 6, "ScaleUpLimit", id="twice-as-many-at-most"),
        pytest.param(1, 50, WIDE, 4, "ScaleUpLimit", id="four-always"),
        pytest.param(3, 50, Bounds(1, 5), 5, "TooManyReplicas", id="at-most"),
        pytest.param(3, 0, Bounds(2, 5), 2, "TooFewReplicas", id="at-least"),
    ],
)
def test_bounds_hold(current: int, wanted: int, bounds: Bounds, replicas: int, limit: str) -> None:
    verdict = settle(current, wanted, bounds, None, History(), 300, NOW)
    assert (verdict.replicas, verdict.limit[0]) == (replicas, limit)
    assert verdict.limited is (limit != "DesiredWithinRange")


def test_the_highest_recommendation_holds_for_the_window() -> None:
    history = History()
    history.begin(10, NOW)
    early = settle(10, 2, WIDE, None, history, 300, after(299))
    late = settle(10, 2, WIDE, None, history, 300, after(301))
    assert (early.replicas, early.able[0]) == (10, "ScaleDownStabilized")
    assert (late.replicas, late.able[0]) == (2, "ReadyForNewScale")


def test_the_lowest_recommendation_holds_when_it_goes_up() -> None:
    behavior = Behavior(scale_up=Rules(stabilization_window_seconds=60))
    history = History()
    history.begin(4, NOW)
    early = settle(4, 8, WIDE, behavior, history, 300, after(30))
    late = settle(4, 8, WIDE, behavior, history, 300, after(61))
    assert (early.replicas, early.able[0]) == (4, "ScaleUpStabilized")
    assert late.replicas == 8


@pytest.mark.parametrize(
    ("recommended", "wanted", "reason"),
    [
        pytest.param(2, 6, "ScaleUpStabilized", id="up-does-not-go-down"),
        pytest.param(9, 4, "ScaleDownStabilized", id="down-does-not-go-up"),
    ],
)
def test_a_window_never_turns_a_wish_round(recommended: int, wanted: int, reason: str) -> None:
    rules = Rules(stabilization_window_seconds=60)
    history = History()
    history.begin(recommended, NOW)
    verdict = settle(5, wanted, WIDE, Behavior(scale_up=rules, scale_down=rules), history, 300, after(30))
    assert (verdict.replicas, verdict.able[0]) == (5, reason)


def up(*policies: Policy, select: str | None = None) -> Behavior:
    return Behavior(scale_up=Rules(policies=policies, select_policy=select))


def down(*policies: Policy, select: str | None = None) -> Behavior:
    return Behavior(scale_down=Rules(policies=policies, select_policy=select, stabilization_window_seconds=0))


PODS = Policy(type="Pods", value=3, period_seconds=60)
SHARE = Policy(type="Percent", value=50, period_seconds=60)


@pytest.mark.parametrize(
    ("behavior", "wanted", "replicas", "limit"),
    [
        pytest.param(up(PODS), 50, 13, "ScaleUpLimit", id="up-pods"),
        pytest.param(up(SHARE), 50, 15, "ScaleUpLimit", id="up-percent"),
        pytest.param(up(PODS, SHARE), 50, 15, "ScaleUpLimit", id="up-most"),
        pytest.param(up(PODS, SHARE, select="Min"), 50, 13, "ScaleUpLimit", id="up-least"),
        pytest.param(up(PODS, select="Disabled"), 50, 10, "ScaleUpLimit", id="up-disabled"),
        pytest.param(Behavior(), 50, 20, "ScaleUpLimit", id="up-default"),
        pytest.param(down(PODS), 1, 7, "ScaleDownLimit", id="down-pods"),
        pytest.param(down(SHARE), 1, 5, "ScaleDownLimit", id="down-percent"),
        pytest.param(down(PODS, SHARE), 1, 5, "ScaleDownLimit", id="down-most"),
        pytest.param(down(PODS, SHARE, select="Min"), 1, 7, "ScaleDownLimit", id="down-least"),
        pytest.param(down(PODS, select="Disabled"), 1, 10, "ScaleDownLimit", id="down-disabled"),
        pytest.param(down(), 1, 10, "ScaleDownLimit", id="down-no-policy"),
        pytest.param(up(PODS), 12, 12, "DesiredWithinRange", id="slow-enough"),
    ],
)
def test_policies_limit_the_rate(behavior: Behavior, wanted: int, replicas: int, limit: str) -> None:
    verdict = settle(10, wanted, WIDE, behavior, History(), 0, NOW)
    assert (verdict.replicas, verdict.limit[0]) == (replicas, limit)


def test_what_was_done_in_the_period_counts() -> None:
    history = History()
    history.scaled(10, 12, NOW, 60)
    soon = settle(12, 50, WIDE, up(PODS), history, 0, after(30))
    later = settle(12, 50, WIDE, up(PODS), history, 0, after(61))
    assert (soon.replicas, later.replicas) == (13, 15)


def test_both_directions_count_for_what_there_was_when_the_period_began() -> None:
    rising, falling = History(), History()
    rising.scaled(20, 12, NOW, 60)
    falling.scaled(4, 12, NOW, 60)
    assert settle(12, 50, WIDE, up(PODS), rising, 0, after(30)).replicas == 23
    assert settle(12, 1, WIDE, down(PODS), falling, 0, after(30)).replicas == 1


def test_what_is_long_past_is_forgotten() -> None:
    history = History()
    for second in range(1000):
        history.scaled(10, 12, after(second), 60)
        settle(10, 10, WIDE, up(PODS), history, 60, after(second))
    assert len(history.added) < 70
    assert len(history.recommended) < 70
