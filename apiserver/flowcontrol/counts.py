"""What is counted of the requests of one schema at one priority level.

Plain numbers, because every request feeds them; `metrics.py` shows them.
"""

from __future__ import annotations

from ..measuring import Series

SECONDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS = (1, 2, 4, 10)
WATCHES = (0, 1, 10, 100, 1000, 10000)


class Counts:
    __slots__ = (
        "dispatched", "estimated", "execution", "lengths", "queued_now", "queued_seats", "refused",
        "running", "seats", "unaccommodated", "waited", "watches",
    )  # fmt: skip

    def __init__(self) -> None:
        self.dispatched = 0
        self.running = 0
        self.seats = 0
        self.queued_now = 0
        self.queued_seats = 0
        self.unaccommodated = 0
        self.refused: dict[str, int] = {}
        """By upstream's reasons."""
        self.waited = {"true": Series(SECONDS), "false": Series(SECONDS)}
        """By whether they ran in the end."""
        self.execution = {"regular": Series(SECONDS), "watch": Series(SECONDS)}
        self.lengths = Series(LENGTHS)
        self.estimated = Series(SEATS)
        self.watches = Series(WATCHES)

    def began(self, seats: int, waited: float) -> None:
        self.dispatched += 1
        self.running += 1
        self.seats += seats
        self.waited["true"].observe(waited)

    def ended(self, seats: int) -> None:
        self.running -= 1
        self.seats -= seats

    def queued(self, seats: int, length: int) -> None:
        self.queued_now += 1
        self.queued_seats += seats
        self.lengths.observe(length)

    def left_queue(self, seats: int) -> None:
        self.queued_now -= 1
        self.queued_seats -= seats

    def rejected(self, reason: str, waited: float) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1
        if waited:
            self.waited["false"].observe(waited)
