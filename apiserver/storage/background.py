"""A TaskGroup that is opened and closed by calls, for objects whose life is `open()` … `close()`.

A plain TaskGroup must be left by the task that entered it; here a task of its own does both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs tasks until `close`, which cancels and awaits them, and raises if one of them failed."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._owner: asyncio.Task[None] | None = None

    async def open(self) -> None:
        ready = asyncio.Event()
        self._owner = asyncio.create_task(self._hold(ready))
        await ready.wait()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        assert self._group is not None, "not open"
        return self._group.create_task(work)

    async def failure(self) -> None:
        """Wait for a task to fail, and raise that. Without this, a failure shows at `close` only."""
        assert self._owner is not None, "not open"
        await asyncio.shield(self._owner)

    async def close(self) -> None:
        owner, self._owner, self._group = self._owner, None, None
        if owner is None:
            return
        owner.cancel()
        await asyncio.wait([owner])
        if not owner.cancelled():
            owner.result()

    async def _hold(self, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            ready.set()
            await asyncio.get_running_loop().create_future()
