"""How long changes of Pods gather before the next step of an owner that has many.

A step looks at every Pod of its owner, so that one for each change would cost the square of their number. It
waits about as long as it takes, and so never has more than half of the processor.
"""

from __future__ import annotations

MANY = 50
PAUSE_PER_POD = 0.00005
LONGEST_PAUSE = 0.25


def pause(pods: int) -> float:
    """Seconds, for an owner of so many Pods."""
    return min(pods * PAUSE_PER_POD, LONGEST_PAUSE) if pods >= MANY else 0.0
