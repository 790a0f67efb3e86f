"""How many seats a priority level would have needed: watched over time, and smoothed.

Source: apiserver `fairqueuing/integrator.go`, `seatDemandStats` of `apf_controller.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

SMOOTHING = 0.977
"""Of the smoothed demand so much lasts from one adjustment to the next: it halves in five minutes."""


class Observed(NamedTuple):
    seconds: float
    average: float
    deviation: float
    highest: float


class Demand:
    """Integrates a number that changes in steps."""

    __slots__ = ("_at", "_began", "_highest", "_integral", "_square", "now")

    def __init__(self, at: float) -> None:
        self.now = 0
        self._at = self._began = at
        self._integral = self._square = 0.0
        self._highest = 0

    def set(self, at: float, value: int) -> None:
        lasted, was = at - self._at, self.now
        self._integral += lasted * was
        self._square += lasted * was * was
        self._at, self.now = at, value
        if value > self._highest:
            self._highest = value

    def reset(self, at: float) -> Observed:
        """What was since the last time, and start over."""
        self.set(at, self.now)
        seconds = at - self._began
        average = self._integral / seconds if seconds > 0 else float(self.now)
        variance = self._square / seconds - average * average if seconds > 0 else 0.0
        found = Observed(seconds, average, sqrt(max(variance, 0.0)), float(self._highest))
        self._began = at
        self._integral = self._square = 0.0
        self._highest = self.now
        return found


@dataclass(slots=True)
class Smoothed:
    """What adjustments have seen."""

    average: float = 0.0
    deviation: float = 0.0
    highest: float = 0.0
    smoothed: float = 0.0

    def update(self, seen: Observed) -> None:
        self.highest = seen.highest
        if seen.seconds <= 0:
            return
        self.average, self.deviation = seen.average, seen.deviation
        envelope = seen.average + seen.deviation
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)
