"""The scheduling queue: which Pod is tried next, and when a refused one is tried again.

Three places, as upstream: active (ordered by priority, then by time), backoff (1 s after the first refusal,
doubling to 10 s) and unschedulable (until a change that concerns the plug-ins which refused the Pod, or five
minutes). When nothing is active, Pods in backoff are taken early, except after errors.

Invariant: a Pod's uid is in at most one place, and in none while it is being decided on. Deciding is
synchronous, so no change can slip in between a verdict and `refuse`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from kplane.api.clock import Clock
from kplane.api.types import Pod

from .framework import Change, On, OnGone
from .pod import PodInfo

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
LONGEST_UNSCHEDULABLE = 300.0
TICK = 1.0
"""How often the queue looks whether waiting time is over, while anything waits."""


class Place(Enum):
    TAKEN = auto()
    ACTIVE = auto()
    BACKOFF = auto()
    ERROR = auto()
    """In backoff after an error: not to be taken early."""
    UNSCHEDULABLE = auto()


@dataclass(slots=True, eq=False)
class Waiting:
    """A Pod that has no node yet."""

    info: PodInfo
    first_seen: float
    since: float
    """When it came to where it is now (monotonic seconds)."""
    place: Place = Place.TAKEN
    ticket: int = 0
    """The heap entry that counts; older ones are left behind and skipped."""
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()

    @property
    def ready_at(self) -> float:
        """When its backoff is over."""
        exponent = min(max(self.attempts - 1, 0), 10)
        return self.since + min(FIRST_BACKOFF * 2.0**exponent, LONGEST_BACKOFF)


Heap = list[tuple[float, float, int, Waiting]]


class SchedulingQueue:
    """`retry_on`: for each plug-in's name, the changes that could reverse its verdict."""

    def __init__(self, clock: Clock, retry_on: Mapping[str, Sequence[On | OnGone]]) -> None:
        self._clock = clock
        self._retry_on = retry_on
        self._pods: dict[str, Waiting] = {}
        self._heaps: dict[Place, Heap] = {Place.ACTIVE: [], Place.BACKOFF: [], Place.ERROR: []}
        self._unschedulable: dict[str, Waiting] = {}
        self._tickets = 0
        self._filled = asyncio.Event()
        self._delayed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def count(self, place: Place) -> int:
        return sum(entry.place is place for entry in self._pods.values())

    def put(self, info: PodInfo) -> None:
        """A Pod that waits for a node has appeared or changed."""
        entry = self._pods.get(info.uid)
        if entry is None:
            now = self._clock.monotonic()
            entry = self._pods[info.uid] = Waiting(info, now, now)
            self._activate(entry)
            return
        old, entry.info = entry.info, info
        if entry.place is Place.UNSCHEDULABLE:
            if self._concerned(entry, self._matching(Change(Pod, old.pod, info.pod))):
                self._wake(entry)
        elif entry.place is Place.ACTIVE and old.priority != info.priority:
            self._activate(entry)

    def remove(self, uid: str) -> None:
        """The Pod needs no node any more."""
        entry = self._pods.pop(uid, None)
        if entry is not None:
            self._move(entry, Place.TAKEN)

    def wake(self, change: Change) -> None:
        """Try again those Pods whose refusal this change could reverse."""
        if self._unschedulable and (plugins := self._matching(change)):
            for entry in [*self._unschedulable.values()]:
                if self._concerned(entry, plugins):
                    self._wake(entry)

    def retry(self, uid: str) -> None:
        """Try a refused Pod again after its backoff: what was done about the refusal did not work."""
        if (entry := self._unschedulable.get(uid)) is not None:
            self._wake(entry)

    async def take(self) -> Waiting:
        """The next Pod to decide on; it is followed by `remove`, `refuse` or `fail`."""
        while (entry := self._first(Place.ACTIVE) or self._first(Place.BACKOFF)) is None:
            self._filled.clear()
            await self._filled.wait()
        self._move(entry, Place.TAKEN)
        entry.attempts += 1
        return entry

    def refuse(self, entry: Waiting, plugins: frozenset[str]) -> None:
        """No node fits: wait for a change that concerns one of the plug-ins."""
        if self._pods.get(entry.info.uid) is entry:
            entry.refused_by = plugins
            entry.since = self._clock.monotonic()
            self._move(entry, Place.UNSCHEDULABLE)
            self._unschedulable[entry.info.uid] = entry
            self._delayed.set()

    def fail(self, entry: Waiting) -> None:
        """Something else went wrong: try again after backoff."""
        if self._pods.get(entry.info.uid) is entry:
            entry.since = self._clock.monotonic()
            self._delay(entry, Place.ERROR)

    async def run(self) -> None:
        """Watch the time, while there is anything to wait for."""
        while True:
            await self._delayed.wait()
            await self._clock.sleep(TICK)
            self.flush()

    def flush(self) -> None:
        """Activate every Pod whose waiting time is over."""
        now = self._clock.monotonic()
        for place in (Place.BACKOFF, Place.ERROR):
            while (entry := self._first(place)) is not None and entry.ready_at <= now:
                self._activate(entry)
        for entry in [*self._unschedulable.values()]:
            if now - entry.since >= LONGEST_UNSCHEDULABLE:
                self._wake(entry)
        if not (self._heaps[Place.BACKOFF] or self._heaps[Place.ERROR] or self._unschedulable):
            self._delayed.clear()

    def _first(self, place: Place) -> Waiting | None:
        """The Pod at the head of a heap; entries that are no longer true are dropped on the way."""
        heap = self._heaps[place]
        while heap:
            _, _, ticket, entry = heap[0]
            if ticket == entry.ticket:
                return entry
            heapq.heappop(heap)
        return None

    def _matching(self, change: Change) -> frozenset[str]:
        """The plug-ins whose verdicts this change could reverse."""
        return frozenset(
            plugin
            for plugin, events in self._retry_on.items()
            if any(event.matches(change) for event in events)
        )

    @staticmethod
    def _concerned(entry: Waiting, plugins: frozenset[str]) -> bool:
        return not entry.refused_by.isdisjoint(plugins)

    def _wake(self, entry: Waiting) -> None:
        if entry.ready_at > self._clock.monotonic():
            self._delay(entry, Place.BACKOFF)
        else:
            self._activate(entry)

    def _delay(self, entry: Waiting, place: Place) -> None:
        self._move(entry, place)
        self._push(entry, (entry.ready_at, 0))
        self._delayed.set()

    def _activate(self, entry: Waiting) -> None:
        self._move(entry, Place.ACTIVE)
        entry.since = self._clock.monotonic()
        self._push(entry, (-entry.info.priority, entry.since))

    def _push(self, entry: Waiting, order: tuple[float, float]) -> None:
        heapq.heappush(self._heaps[entry.place], (*order, entry.ticket, entry))
        self._filled.set()

    def _move(self, entry: Waiting, place: Place) -> None:
        self._unschedulable.pop(entry.info.uid, None)
        self._tickets += 1
        entry.place, entry.ticket = place, self._tickets
