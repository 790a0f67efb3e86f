"""Back-off of failed Pods: how long a node waits before its failed Pod is replaced again.

Owns: times since the last replacement; upstream's 1 second, doubled by each failure up to 15 minutes.

Invariant: a node whose Pod has not failed for twice the longest wait begins anew.
"""

from __future__ import annotations

from collections.abc import Hashable

FIRST, LONGEST = 1.0, 900.0


class FailedPods:
    """By any key; times are monotonic seconds."""

    def __init__(self) -> None:
        self._waits: dict[Hashable, tuple[float, float]] = {}
        """Key -> how long it waits, and since when."""

    def left(self, key: Hashable, now: float) -> float:
        """Seconds until the Pod may be replaced; 0 if it may now."""
        wait, since = self._waits.get(key, (0.0, now))
        return max(since + wait - now, 0.0)

    def replaced(self, key: Hashable, now: float) -> None:
        """Note that the Pod is replaced now."""
        wait, since = self._waits.get(key, (0.0, now))
        if now - since > 2 * LONGEST:
            wait = 0.0
        self._waits[key] = (min(wait * 2, LONGEST) if wait else FIRST, now)

    def clean(self, now: float) -> None:
        """Forget keys that have begun anew."""
        stale = [key for key, (_, since) in self._waits.items() if now - since > 2 * LONGEST]
        for key in stale:
            del self._waits[key]
