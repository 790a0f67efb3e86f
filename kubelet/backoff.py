"""Exponential back-off as client-go's `flowcontrol.Backoff`: 10 s doubling to 300 s, forgotten after 10 min.

Pure but for the dict inside; moments are seconds on any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

INITIAL = 10.0
LONGEST = 300.0


@dataclass(frozen=True, slots=True)
class _Entry:
    delay: float
    updated: float


class BackOff:
    """Delays by key. The first failure costs nothing; the second must wait INITIAL since it happened."""

    def __init__(self, initial: float = INITIAL, longest: float = LONGEST) -> None:
        self._initial, self._longest = initial, longest
        self._entries: dict[str, _Entry] = {}

    def delay(self, key: str) -> float:
        """The present delay, 0 if there is none."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0

    def remaining(self, key: str, since: float, now: float) -> float:
        """Seconds to wait still after a failure at `since`; 0 where the next try may start."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, since):
            return 0
        return max(since + entry.delay - now, 0)

    def next(self, key: str, since: float, now: float) -> None:
        """A try starts now, after a failure at `since`: lengthen the delay of the one after it."""
        entry = self._entries.get(key)
        fresh = entry is None or self._expired(entry, since)
        delay = self._initial if fresh or entry is None else min(entry.delay * 2, self._longest)
        self._entries[key] = _Entry(delay, now)

    def forget(self, key: str) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: _Entry, since: float) -> bool:
        return since - entry.updated > 2 * self._longest
