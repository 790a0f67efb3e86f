"""How far and how fast replicas may change: bounds, policies, stabilisation windows. No I/O.

Rules and texts: upstream's `horizontal.go`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .views import Behavior, Policy, Rules

UP_POLICIES = (
    Policy(type="Pods", value=4, period_seconds=15),
    Policy(type="Percent", value=100, period_seconds=15),
)
DOWN_POLICIES = (Policy(type="Percent", value=100, period_seconds=15),)

WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
READY = ("ReadyForNewScale", "recommended size matches current size")
UP_STABILIZED = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
DOWN_STABILIZED = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


@dataclass
class History:
    """What was recommended and done lately. Kept in memory only: after a restart it begins anew, with what
    there is as its first recommendation."""

    recommended: list[tuple[datetime, int]] = field(default_factory=list)
    added: list[tuple[datetime, int]] = field(default_factory=list)
    removed: list[tuple[datetime, int]] = field(default_factory=list)

    def begin(self, replicas: int, now: datetime) -> None:
        if not self.recommended:
            self.recommended.append((now, replicas))

    def scaled(self, before: int, after: int, now: datetime, longest: int) -> None:
        """Note a change; those that no policy looks at any more are forgotten."""
        events = self.added if after > before else self.removed
        events[:] = _since(events, now - timedelta(seconds=longest))
        events.append((now, abs(after - before)))


def _since(events: Sequence[tuple[datetime, int]], start: datetime) -> list[tuple[datetime, int]]:
    return [event for event in events if event[0] > start]


@dataclass(frozen=True)
class Bounds:
    least: int
    most: int


@dataclass(frozen=True)
class Verdict:
    """The replicas that are allowed, and what the conditions say of it."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    limit: tuple[str, str]


def up_rules(behavior: Behavior) -> Rules:
    return behavior.scale_up or Rules()


def down_rules(behavior: Behavior) -> Rules:
    return behavior.scale_down or Rules()


def up_policies(rules: Rules) -> Sequence[Policy]:
    return UP_POLICIES if rules.policies is None else rules.policies


def down_policies(rules: Rules) -> Sequence[Policy]:
    return DOWN_POLICIES if rules.policies is None else rules.policies


def longest_period(behavior: Behavior) -> int:
    """Seconds of the longest period that a policy looks back."""
    every = (*up_policies(up_rules(behavior)), *down_policies(down_rules(behavior)))
    return max((policy.period_seconds for policy in every), default=0)


def settle(
    current: int, wanted: int, bounds: Bounds, behavior: Behavior | None, history: History, window: float,
    now: datetime,
) -> Verdict:  # fmt: skip
    """What becomes of the wish for so many replicas; notes the wish. `window`: seconds for which the highest
    recommendation holds unless the behavior says otherwise."""
    if behavior is None:
        stable, able = _stabilized(wanted, history, window, now), DOWN_STABILIZED
        replicas, limit = _bounded(current, stable, bounds)
    else:
        stable, able = _stabilized_by_rules(current, wanted, behavior, history, window, now)
        replicas, limit = _rated(current, stable, bounds, behavior, history, now)
    return Verdict(replicas, READY if stable == wanted else able, replicas != stable, limit)


def _stabilized(wanted: int, history: History, window: float, now: datetime) -> int:
    history.recommended = _since(history.recommended, now - timedelta(seconds=window, microseconds=1))
    highest = max((replicas for _, replicas in history.recommended), default=wanted)
    history.recommended.append((now, wanted))
    return max(highest, wanted)


def _stabilized_by_rules(
    current: int, wanted: int, behavior: Behavior, history: History, window: float, now: datetime
) -> tuple[int, tuple[str, str]]:
    up = up_rules(behavior).stabilization_window_seconds or 0
    chosen = down_rules(behavior).stabilization_window_seconds
    down = window if chosen is None else chosen
    lowest, highest = (
        [wanted, *(replicas for _, replicas in _since(history.recommended, now - timedelta(seconds=seconds)))]
        for seconds in (up, down)
    )
    # What there is stays, unless all that was recommended lately lies on one side of it.
    stable = min(max(current, min(lowest)), max(highest))
    kept = now - timedelta(seconds=max(up, down), microseconds=1)
    history.recommended = [*_since(history.recommended, kept), (now, wanted)]
    return stable, UP_STABILIZED if wanted >= current else DOWN_STABILIZED


def _bounded(current: int, wanted: int, bounds: Bounds) -> tuple[int, tuple[str, str]]:
    """Without rules: at most twice as many at once, four always."""
    fastest = max(2 * current, 4)
    most, limit = (fastest, UP_LIMIT) if bounds.most > fastest else (bounds.most, TOO_MANY)
    if wanted < bounds.least:
        return bounds.least, TOO_FEW
    return (most, limit) if wanted > most else (wanted, WITHIN)


def _rated(
    current: int, wanted: int, bounds: Bounds, behavior: Behavior, history: History, now: datetime
) -> tuple[int, tuple[str, str]]:
    if wanted > current:
        fastest = max(_up_limit(current, up_rules(behavior), history, now), current)
        most, limit = (fastest, UP_LIMIT) if bounds.most > fastest else (bounds.most, TOO_MANY)
        return (most, limit) if wanted > most else (wanted, WITHIN)
    if wanted < current:
        slowest = min(_down_limit(current, down_rules(behavior), history, now), current)
        least, limit = (slowest, DOWN_LIMIT) if bounds.least < slowest else (bounds.least, TOO_FEW)
        return (least, limit) if wanted < least else (wanted, WITHIN)
    return wanted, WITHIN


def _up_limit(current: int, rules: Rules, history: History, now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    limits = []
    for policy in up_policies(rules):
        before = _at_start(current, policy, history, now)
        grown = math.ceil(before * (1 + policy.value / 100))
        limits.append(before + policy.value if policy.type == "Pods" else grown)
    return (min if rules.select_policy == "Min" else max)(limits, default=0)


def _down_limit(current: int, rules: Rules, history: History, now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    limits = []
    for policy in down_policies(rules):
        before = _at_start(current, policy, history, now)
        shrunk = int(before * (1 - policy.value / 100))
        limits.append(before - policy.value if policy.type == "Pods" else shrunk)
    return (max if rules.select_policy == "Min" else min)(limits, default=current)


def _at_start(current: int, policy: Policy, history: History, now: datetime) -> int:
    """How many there were when the policy's period began."""
    return current - _changed(history.added, policy, now) + _changed(history.removed, policy, now)


def _changed(events: Sequence[tuple[datetime, int]], policy: Policy, now: datetime) -> int:
    return sum(change for _, change in _since(events, now - timedelta(seconds=policy.period_seconds)))
