"""When a refused client should come back: later and later while many are refused, up to half a minute.

Source: apiserver `flowcontrol/dropped_requests_tracker.go`.
"""

from __future__ import annotations

LONGEST = 32


class RetryAfter:
    """Of one priority level. Time is in seconds of any clock."""

    def __init__(self) -> None:
        self.seconds = 1
        self._history: list[tuple[int, int]] = []
        self._second = 0
        self._count = 0
        self._changed = 0

    def refused(self, now: float) -> int:
        """Take note of a refusal. The seconds after which to try again."""
        second = int(now)
        if second == self._second:
            self._count += 1
            return self.seconds
        self._remember()
        self._second, self._count = second, 1
        self._adjust(second)
        return self.seconds

    def _remember(self) -> None:
        self._history.append((self._second, self._count))
        oldest = self._second - min(2 * self.seconds, LONGEST)
        self._history = [entry for entry in self._history if entry[0] >= oldest]

    def _adjust(self, second: int) -> None:
        if second - self._changed < self.seconds:
            return
        since = second - self.seconds
        recent = sum(count for at, count in self._history if since <= at < second)
        if recent < self.seconds and self.seconds > 1:
            self.seconds, self._changed = self.seconds - 1, second
        elif recent >= 3 * self.seconds and self.seconds < LONGEST:
            self.seconds, self._changed = min(2 * self.seconds, LONGEST), second
