"""A priority level as it runs, and the flows of requests that share its seats."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from kplane.api.resource import Object

from .counts import Counts
from .demand import Smoothed
from .matching import Schema
from .queues import QueueSet
from .retries import RetryAfter
from .sharing import Want

MOST_SEATS_SHARE = 0.15
"""No request takes more of its level."""


class Limits(NamedTuple):
    """What a priority level's object says."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable_percent: int = 0
    borrowing_percent: int | None = None
    queues: int = 0
    hand: int = 0
    length: int = 0


def limits_of(obj: Object) -> Limits | None:
    """None for an object that cannot be understood, or whose parts contradict each other: it is as if it were
    not there."""
    try:
        found = _limits(obj["spec"], obj["metadata"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    # Queues of which a hand cannot be dealt would fail at the first request.
    return found if found is not None and (not found.queues or 0 < found.hand <= found.queues) else None


def _limits(spec: Object, meta: Object) -> Limits | None:
    exempt = spec.get("type") == "Exempt"
    if exempt != (meta["name"] == "exempt") or (spec.get("limited") is None) != exempt:
        return None
    mine = spec.get("exempt") or {} if exempt else spec["limited"]
    response = {} if exempt else mine.get("limitResponse") or {}
    queuing = response.get("queuing")
    if (response.get("type") == "Queue") != (queuing is not None):
        return None
    queuing, percent = queuing or {}, mine.get("borrowingLimitPercent")
    return Limits(
        name=str(meta["name"]),
        uid=str(meta.get("uid", "")),
        exempt=exempt,
        shares=int(mine.get("nominalConcurrencyShares") or 0),
        lendable_percent=int(mine.get("lendablePercent") or 0),
        borrowing_percent=None if percent is None else int(percent),
        queues=int(queuing.get("queues", 0)),
        hand=int(queuing.get("handSize", 0)),
        length=int(queuing.get("queueLengthLimit", 0)),
    )


@dataclass(slots=True, eq=False)
class Level:
    """`nominal`, `lower` and `upper`: seats by configuration; `current`: those of now."""

    limits: Limits
    queues: QueueSet
    retries: RetryAfter
    nominal: int = 0
    lower: int = 0
    upper: int = 0
    current: int = 0
    target: float = 0.0
    most_seats: int = 0
    """That one request may take; 0: as many as any."""
    demand: Smoothed = field(default_factory=Smoothed)
    quiescing: bool = False
    """Its object is gone, and requests of it still run."""
    refusals: dict[str, int] = field(default_factory=dict)

    def divide(self, server: int, shares: int) -> None:
        """The seats that its part of all `shares` makes of the server's."""
        limits = self.limits
        self.nominal = ceil(server * limits.shares / shares) if shares else 0
        lendable = _rounded(self.nominal * limits.lendable_percent / 100)
        percent = limits.borrowing_percent
        borrowing = server if percent is None else _rounded(self.nominal * percent / 100)
        self.lower, self.upper = self.nominal - lendable, self.nominal + borrowing
        if limits.hand:
            share = min(ceil(self.nominal * MOST_SEATS_SHARE), self.nominal // limits.hand)
            self.most_seats = max(1, share)

    def want(self, now: float) -> Want:
        """What it should get, by what it needed since the last time."""
        self.demand.update(self.queues.demand.reset(now))
        highest = self.demand.highest
        needed = max(float(self.lower), highest if self.limits.exempt else min(float(self.nominal), highest))
        self.target = max(needed, self.demand.smoothed)
        return Want(needed, float(self.upper), self.target)

    def settle(self, seats: float) -> None:
        self.current = _rounded(seats)
        self.queues.set_limit(self.current)


@dataclass(slots=True, eq=False)
class Flow:
    """Requests of one schema that are not told apart. `hand`: the queues that they were dealt."""

    schema: Schema
    level: Level
    distinguisher: str
    hand: tuple[int, ...]
    counts: Counts
    headers: tuple[tuple[bytes, bytes], ...]


def _rounded(value: float) -> int:
    """Half away from zero, as Go rounds."""
    return int(value + 0.5)
