"""Dividing the server's seats among priority levels, between what each keeps and what it may have. Pure.

Every level gets the same fraction of what it wants, within its bounds. Source: apiserver
`pkg/util/flowcontrol/conc_alloc.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

SMALLEST = 0.001
"""Nobody wants less."""


class Want(NamedTuple):
    lower: float
    upper: float
    target: float


class Shared(NamedTuple):
    seats: Sequence[float]
    fraction: float
    """Of its target, for everybody who is within bounds."""


def share(total: float, wants: Sequence[Want]) -> Shared:
    """Seats that add up to `total`, where the bounds allow that; else everybody is at a bound."""
    targets = [max(want.target, want.lower, SMALLEST) for want in wants]
    bounds = sorted({
        bound / target
        for want, target in zip(wants, targets, strict=True)
        for bound in (want.lower, want.upper)
    })  # fmt: skip

    def given(fraction: float) -> list[float]:
        return [
            min(max(want.lower, fraction * target), want.upper)
            for want, target in zip(wants, targets, strict=True)
        ]

    below = 0.0
    for bound in bounds:
        if sum(given(bound)) >= total:
            return _between(given, below, bound, total)
        below = bound
    return Shared(given(below), below)


def _between(given: Callable[[float], list[float]], low: float, high: float, total: float) -> Shared:
    """Between two neighbouring bounds the sum is a straight line."""
    at_low, at_high = sum(given(low)), sum(given(high))
    if at_high <= at_low or at_low >= total:
        fraction = low
    else:
        fraction = low + (high - low) * (total - at_low) / (at_high - at_low)
    return Shared(given(fraction), fraction)
