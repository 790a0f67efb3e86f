"""Fan-out of committed changes to the watches of the embedded store, in process.

A feed that is not drained in time drops what it holds and is `behind`: its watch then reads the log again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .store import Batch, Change

BACKLOG = 10_000
"""Changes that a feed holds before it gives up."""


class Feed:
    """Changes under one prefix that one watch has yet to take."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._pending: list[Change] = []
        self._reached = 0
        self._wakeup = asyncio.Event()
        self.behind = False

    def offer(self, changes: Sequence[Change], revision: int) -> None:
        """Take in one commit; the store is at `revision` after it."""
        self._reached = revision
        self._wakeup.set()
        if self.behind:
            return
        self._pending += [change for change in changes if change.key.startswith(self._prefix)]
        if len(self._pending) > BACKLOG:
            self.behind = True
            self._pending.clear()

    def rejoin(self) -> None:
        """Follow again, from the present on."""
        self.behind = False
        self._pending.clear()

    async def take(self) -> Batch | None:
        """What has come, waiting for it; None when the feed is behind."""
        await self._wakeup.wait()
        self._wakeup.clear()
        if self.behind:
            return None
        batch, self._pending = Batch(self._pending, self._reached), []
        return batch
