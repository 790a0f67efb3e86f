"""One computation for all who ask for the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[K, T]):
    """The first who asks computes, the others wait for its result. If the first gives up (its client has
    gone), the next computes in its place: nobody suffers from another's cancellation."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Future[T]] = {}

    def is_running(self, key: K) -> bool:
        return key in self._running

    async def join(self, key: K, compute: Callable[[], Awaitable[T]]) -> T:
        while (running := self._running.get(key)) is not None:
            await asyncio.wait([running])
            if not running.cancelled():
                return running.result()
        flight: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._running[key] = flight
        try:
            result = await compute()
        except BaseException:
            flight.cancel()
            raise
        finally:
            del self._running[key]
        flight.set_result(result)
        return result
