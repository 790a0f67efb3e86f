"""Waiting for a wake-up or for time, whichever comes first, under the injected clock."""

from __future__ import annotations

import asyncio

from kplane.api.clock import Clock


class Alarm:
    """`ring` ends the wait of one waiter, or the next wait if nobody waits now; rings do not add up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Until a ring (True), or until `seconds` have passed (False); without end if None."""
        if seconds is None:
            await self._rung.wait()
        elif not self._rung.is_set():
            await self._either(seconds)
        rung = self._rung.is_set()
        self._rung.clear()
        return rung

    async def _either(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            waits = {
                tasks.create_task(self._rung.wait()),
                tasks.create_task(self._sleep(seconds)),
            }
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in waits:
                task.cancel()

    async def _sleep(self, seconds: float) -> bool:
        await self._clock.sleep(seconds)
        return False
