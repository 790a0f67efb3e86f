"""Waiting for what another process does: the one place where a test looks again after a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from kplane.api.clock import SystemClock

T = TypeVar("T")

INTERVAL = 0.02


async def eventually(
    condition: Callable[[], T | Awaitable[T | None] | None],
    *,
    seconds: float = 30,
    what: str = "",
    interval: float = INTERVAL,
) -> T:
    """The first truthy value of `condition`, plain or a coroutine function; else, AssertionError. A condition
    that is costly to look at is given an `interval` of its own."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while True:
        value = condition()
        if isawaitable(value):
            value = await value
        if value:
            return value
        if clock.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        await clock.sleep(interval)
