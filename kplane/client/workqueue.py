"""The work queue: keys waiting to be reconciled, each at most once at a time.

A key that is added while it is being worked on is worked on again afterwards. Failures come back with
exponential backoff per key (5 ms to 1,000 s, as client-go's default) under an overall rate limit.

Invariant: a key is in exactly one of waiting, active, or neither; a key that was cancelled in the middle of
its work is waiting again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ref

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.resource import Key
from kplane.api.types.meta import key_of
from kplane.client.backoff import ItemBackoff, TokenBucket
from kplane.client.metrics import QueueMetrics

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.005
LONGEST_BACKOFF = 1000.0
RETRIES_PER_SECOND = 10.0
RETRY_BURST = 100.0


@dataclass(frozen=True, slots=True)
class Requeue:
    """Outcome of a reconcile that waits for time: come back after so many seconds."""

    after: float


class Terminal(Exception):
    """Raised by a reconcile whom retrying cannot help; logged, and not retried until the next change."""


class WorkQueue:
    """Deduplicating, delaying, rate-limited."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._waiting: dict[Key, float] = {}
        """Key -> when it was added; in the order in which they will be worked on."""
        self._active: dict[Key, bool] = {}
        """Key -> whether it was added again in the meantime."""
        self._later = _Later()
        self._backoff = ItemBackoff(FIRST_BACKOFF, LONGEST_BACKOFF)
        self._bucket = TokenBucket(RETRIES_PER_SECOND, RETRY_BURST, clock.monotonic())
        self._began: dict[Key, float] = {}
        """Key -> when the work on it began."""
        self._taken_at = clock.monotonic()
        self._metrics = QueueMetrics(name)
        queue = ref(self)
        self._metrics.watch(lambda: found.running_for if (found := queue()) is not None else [])
        self._filled = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = float("inf")

    @property
    def running(self) -> bool:
        return self._group is not None

    @property
    def running_for(self) -> list[float]:
        """Seconds that each key has been worked on so far."""
        now = self._clock.monotonic()
        return [now - began for began in self._began.values()]

    @property
    def stuck_for(self) -> float:
        """Seconds during which keys have waited and none was taken: every worker hangs."""
        if not self.running or not self._waiting:
            return 0.0
        return self._clock.monotonic() - max(self._taken_at, min(self._waiting.values()))

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being worked on; keys that wait for time do not count."""
        return not self._waiting and not self._active

    def add(self, key: Key) -> None:
        if key in self._active:
            if not self._active[key]:
                self._active[key] = True
                self._metrics.added(len(self._waiting))
        elif key not in self._waiting:
            self._waiting[key] = self._clock.monotonic()
            self._metrics.added(len(self._waiting))
            self._filled.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Add `key` when so many seconds have passed; the earliest of several such times counts."""
        if seconds <= 0:
            self.add(key)
            return
        self._later.put(key, self._clock.monotonic() + seconds)
        self._set_alarm()

    def wake(self, old: Any, new: Any) -> None:
        """Informer handler: add the object's own key."""
        self.add(key_of(new if new is not None else old))

    def wake_owner(self, old: Any, new: Any) -> None:
        """Informer handler: add the key of the object's controller (of the old one too if it changed).
        Every kind's keys get in; a reconcile whose cache lacks the key does nothing."""
        for key in dict.fromkeys([*_owner_keys(old), *_owner_keys(new)]):
            self.add(key)

    def wake_owner_later(self, pause: Callable[[Key], float]) -> Callable[[Any, Any], None]:
        """As `wake_owner`, so many seconds later as `pause` says of the key: all that changes meanwhile costs
        one reconcile. The first change sets the time, so that a stream of them puts nothing off for ever."""

        def wake(old: Any, new: Any) -> None:
            for key in dict.fromkeys([*_owner_keys(old), *_owner_keys(new)]):
                self.add_after(key, pause(key))

        return wake

    def __len__(self) -> int:
        return len(self._waiting)

    async def run(self, reconcile: Callable[[Key], Awaitable[Requeue | None]], workers: int = 1) -> None:
        """Reconcile keys until cancelled: the one place where `except Exception` catches a reconcile."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                self._set_alarm()
                for _ in range(workers):
                    group.create_task(self._work(reconcile))
                await asyncio.Event().wait()
            finally:
                self._group, self._alarm, self._alarm_at = None, None, float("inf")

    async def _work(self, reconcile: Callable[[Key], Awaitable[Requeue | None]]) -> None:
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            await self._process(self._take(), reconcile)

    def _take(self) -> Key:
        key = next(iter(self._waiting))
        added = self._waiting.pop(key)
        self._active[key] = False
        self._taken_at = self._clock.monotonic()
        self._metrics.taken(len(self._waiting), self._taken_at - added)
        return key

    async def _process(self, key: Key, reconcile: Callable[[Key], Awaitable[Requeue | None]]) -> None:
        began = self._began[key] = self._clock.monotonic()
        unfinished = True
        try:
            await self._reconcile(key, reconcile)
            unfinished = False
        finally:
            again = self._active.pop(key) or unfinished
            del self._began[key]
            self._metrics.finished(self._clock.monotonic() - began)
            if again:
                self.add(key)

    async def _reconcile(self, key: Key, reconcile: Callable[[Key], Awaitable[Requeue | None]]) -> None:
        try:
            outcome = await reconcile(key)
        except Terminal as error:
            log.error("giving up queue=%s key=%s why=%s", self.name, key, error)
            outcome = None
        except Exception as error:  # noqa: BLE001 - whatever it raised, its key comes back
            self._retry(key, error)
            return
        self._backoff.forget(key)
        if outcome is not None:
            self.add_after(key, outcome.after)

    def _retry(self, key: Key, error: Exception) -> None:
        delay = max(self._backoff.delay(key), self._bucket.reserve(self._clock.monotonic()))
        self._metrics.retries.inc()
        unforeseen = not isinstance(error, ApiError)
        log.warning(
            "reconcile failed queue=%s key=%s retry_in=%.3fs why=%s", self.name, key, delay, error,
            exc_info=error if unforeseen else None,
        )  # fmt: skip
        self.add_after(key, delay)

    def _set_alarm(self) -> None:
        """Have a task that wakes up when the earliest of the later keys is due."""
        due = self._later.due
        if self._group is None or due is None or due >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = self._group.create_task(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(due - self._clock.monotonic())
        self._alarm, self._alarm_at = None, float("inf")
        for key in self._later.take(self._clock.monotonic()):
            self.add(key)
        self._set_alarm()


class _Later:
    """Keys with the times at which they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}

    @property
    def due(self) -> float | None:
        """When the earliest key is due."""
        return self._heap[0][0] if self._heap else None

    def put(self, key: Key, due: float) -> None:
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))

    def take(self, now: float) -> Iterator[Key]:
        """Remove and return the keys that are due."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            # A key that was moved to an earlier time has left an entry at its old one.
            if self._due.get(key) == due:
                del self._due[key]
                yield key


def _owner_keys(obj: Any) -> Iterator[Key]:
    """The key that the controller of `obj` has: its name, in the namespace of `obj`."""
    if obj is None:
        return
    if isinstance(obj, dict):
        owners = obj["metadata"].get("ownerReferences") or ()
        name = next((owner["name"] for owner in owners if owner.get("controller")), None)
    else:
        owner = obj.metadata.controller
        name = owner.name if owner else None
    if name is not None:
        yield Key(key_of(obj).namespace, name)
