"""When the boundary gives up on requests.

All of them may take equally long, so they end in the order in which they began: one timer is enough. A timer
for each, as `asyncio.timeout` makes them, would cost a read a twentieth of its time.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """Of the requests of one event loop: each may take `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running: dict[Deadline, None] = {}
        """In the order in which they end."""
        self._timer: asyncio.TimerHandle | None = None

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that the first one ends in time."""
        if self._timer is None and self.running:
            self._timer = loop.call_at(next(iter(self.running)).at, self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for deadline in [each for each in self.running if each.at <= now]:
            deadline.end()
        self.arm(loop)


class Deadline:
    """`with Deadline(deadlines):` raises TimeoutError when the time is over."""

    __slots__ = ("_all", "_cancels", "_ended", "_task", "at")

    def __init__(self, deadlines: Deadlines) -> None:
        self._all = deadlines
        self._ended = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancels = task.cancelling()
        loop = asyncio.get_running_loop()
        self.at = loop.time() + self._all.seconds
        self._all.running[self] = None
        self._all.arm(loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift()
        # Whoever else cancelled the request meanwhile has not meant its time.
        if self._ended and self._task.uncancel() <= self._cancels and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def lift(self) -> None:
        """The request may take as long as it wants."""
        self._all.running.pop(self, None)

    def end(self) -> None:
        """The time is over."""
        self.lift()
        self._ended = True
        self._task.cancel()
