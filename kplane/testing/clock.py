"""Virtual time: a clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)

TURNS = 50
"""Passes of the event loop after which tasks that need no time are taken to have got as far as they can."""


class VirtualClock:
    """A Clock for one event loop. Sleepers wake in the order of their times, each at exactly its time."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._order, woken))
        await woken

    @property
    def next_wake(self) -> float | None:
        """Seconds until the next sleeper wakes; None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] - self._elapsed if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Let so much time pass. Whoever wakes does all that it can before the next one wakes."""
        end = self._elapsed + seconds
        await self.idle()
        while (wait := self.next_wake) is not None and self._elapsed + wait <= end:
            await self._wake_next()
        self._elapsed = end
        await self.idle()

    async def advance_until(self, condition: Callable[[], bool], limit: float = 86_400 * 366) -> None:
        """Let time pass from sleeper to sleeper until `condition` holds. AssertionError if that takes more
        than `limit` seconds, or if everybody waits for something other than time."""
        end = self._elapsed + limit
        await self.idle()
        while not condition():
            wait = self.next_wake
            assert wait is not None, "nobody waits for time, and the condition does not hold"
            assert self._elapsed + wait <= end, f"the condition does not hold after {limit} seconds"
            await self._wake_next()

    def jump(self, seconds: float) -> None:
        """Let so much time pass in which nobody runs, as when the process is stopped: all that are due wake
        up late, and together."""
        self._elapsed += seconds

    async def idle(self) -> None:
        """Let every task do what it can without time passing."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _wake_next(self) -> None:
        due, _, woken = heapq.heappop(self._sleepers)
        self._elapsed = max(due, self._elapsed)
        if not woken.done():
            woken.set_result(None)
        await self.idle()


class SkewedClock:
    """A clock that shows another time of day than the one behind it, by `offset` seconds, which may change;
    and that runs at another `rate`, to which 1 is right."""

    def __init__(self, behind: VirtualClock, offset: float = 0.0, rate: float = 1.0) -> None:
        self._behind = behind
        self._rate = rate
        self.offset = offset

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() + self.offset)

    def monotonic(self) -> float:
        return self._behind.monotonic() * self._rate

    async def sleep(self, seconds: float) -> None:
        await self._behind.sleep(seconds / self._rate)
