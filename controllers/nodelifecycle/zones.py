"""Zones: how fast their silent nodes are given up. No I/O.

One dead node is a dead node; a zone full of them is more likely a network that is down, where moving Pods
helps nobody. Nodes wait in a queue per zone for their NoExecute taint; the state of the zone sets its rate.

Invariant: while every zone is silent, no node is given up at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum


class State(StrEnum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


class Shift(Enum):
    """What an update changed for the cluster as a whole."""

    NONE = "none"
    ALL_LOST = "every zone is silent now"
    RECOVERED = "some zone answers again"


@dataclass(frozen=True)
class Rates:
    """Nodes per second, and what tells a broken zone and a large one."""

    normal: float = 0.1
    reduced: float = 0.01
    unhealthy_share: float = 0.55
    large: int = 50

    def of(self, state: State, size: int) -> float:
        """In a partly broken zone nodes are given up slowly, in a small one not at all."""
        if state is State.PARTIAL:
            return self.reduced if size > self.large else 0.0
        return self.normal


def state_of(readiness: Sequence[bool], unhealthy_share: float) -> State:
    """The state of a zone, from whether each of its nodes is ready."""
    bad = len(readiness) - sum(readiness)
    if bad and bad == len(readiness):
        return State.FULL
    if bad > 2 and bad / len(readiness) >= unhealthy_share:
        return State.PARTIAL
    return State.NORMAL


@dataclass
class _Zone:
    state: State | None = None
    rate: float = 0.0
    free_at: float = 0.0
    """When the next node may be given up, in monotonic seconds; there is no burst."""
    waiting: dict[str, None] = field(default_factory=dict)
    """Names of nodes, in the order in which they will be given up."""

    def set_rate(self, rate: float, now: float) -> None:
        if rate and rate != self.rate and self.free_at > now:
            self.free_at = now + 1 / rate
        self.rate = rate


class Zones:
    """Queues and rates of all zones."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._zones: dict[str, _Zone] = {}

    def next_turn(self, now: float) -> float | None:
        """Seconds until another node may be given up; None if none waits for time alone."""
        turns = [zone.free_at - now for zone in self._zones.values() if zone.waiting and zone.rate]
        return max(min(turns), 0.0) if turns else None

    def update(self, readiness: Mapping[str, Sequence[bool]], now: float) -> Shift:
        """Take the readiness of each zone's nodes, and set states and rates."""
        were_lost = self._all_lost()
        for name in self._zones.keys() - readiness.keys():
            del self._zones[name]
        for name, nodes in readiness.items():
            self._zones.setdefault(name, _Zone()).state = state_of(nodes, self._rates.unhealthy_share)
        lost = self._all_lost()
        for name, zone in self._zones.items():
            assert zone.state is not None
            zone.set_rate(0.0 if lost else self._rates.of(zone.state, len(readiness[name])), now)
        if lost == were_lost:
            return Shift.NONE
        return Shift.ALL_LOST if lost else Shift.RECOVERED

    def add(self, zone: str, node: str) -> None:
        self._zones.setdefault(zone, _Zone()).waiting.setdefault(node)

    def remove(self, node: str) -> None:
        """The node is well again, or gone."""
        for zone in self._zones.values():
            zone.waiting.pop(node, None)

    def take(self, now: float) -> Iterator[tuple[str, str]]:
        """The nodes whose turn it is, with their zones; they no longer wait."""
        for name, zone in self._zones.items():
            while zone.waiting and zone.rate and zone.free_at <= now:
                zone.free_at = now + 1 / zone.rate
                node = next(iter(zone.waiting))
                del zone.waiting[node]
                yield name, node

    def _all_lost(self) -> bool:
        return bool(self._zones) and all(zone.state is State.FULL for zone in self._zones.values())
