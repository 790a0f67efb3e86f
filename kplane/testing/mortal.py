"""A transport whose process dies at one of its writes, before or after the server has carried it out.

The process that uses it gets no answer any more, to anything: it can only be cancelled, as a SIGKILL would
end it, and be started anew with a transport that lives longer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kplane.client.transport import Relay, Response, Transport
from kplane.testing.faults import WRITES


class Mortal(Relay):
    """Dies at write number `last` (counted from 1): undone, or done but not answered. 0: lives for ever."""

    def __init__(self, beyond: Transport, *, last: int = 0, done: bool = False) -> None:
        super().__init__(beyond)
        self._last = last
        self._done = done
        self.writes = 0
        """How many there were. Events do not count: losing one is no fault."""
        self.dead = asyncio.Event()

    async def request(self, method: str, path: str, **options: Any) -> Response:
        last = self._counts(method, path)
        if self.dead.is_set() or (last and not self._done):
            await self._die()
        answer = await super().request(method, path, **options)
        if last:
            await self._die()
        return answer

    def _counts(self, method: str, path: str) -> bool:
        """Whether this is the last write."""
        if method not in WRITES or "/events" in path:
            return False
        self.writes += 1
        return self.writes == self._last

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Event().wait()
