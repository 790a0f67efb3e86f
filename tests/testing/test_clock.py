"""Virtual time: sleepers wake in order, each at its own time, and never by themselves."""

from __future__ import annotations

import asyncio

import pytest

from kplane.testing import VirtualClock
from kplane.testing.clock import START


async def note(clock: VirtualClock, log: list[tuple[str, float]], name: str, *naps: float) -> None:
    for nap in naps:
        await clock.sleep(nap)
        log.append((name, clock.monotonic()))


async def test_sleepers_wake_in_order_at_their_times() -> None:
    clock, log = VirtualClock(), list[tuple[str, float]]()
    async with asyncio.TaskGroup() as group:
        group.create_task(note(clock, log, "slow", 5, 5))
        group.create_task(note(clock, log, "quick", 2, 2, 2))
        await clock.advance(20)

    assert log == [("quick", 2), ("quick", 4), ("slow", 5), ("quick", 6), ("slow", 10)]
    assert clock.monotonic() == 20
    assert (clock.now() - START).total_seconds() == 20


async def test_nobody_wakes_before_time_is_moved() -> None:
    clock, log = VirtualClock(), list[tuple[str, float]]()
    task = asyncio.create_task(note(clock, log, "x", 1))
    await clock.advance(0.9)

    assert log == []
    assert clock.next_wake == pytest.approx(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert clock.next_wake is None


async def test_time_can_be_moved_until_something_holds() -> None:
    clock, log = VirtualClock(), list[tuple[str, float]]()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(note(clock, log, "x", *[60] * 100))
        await clock.advance_until(lambda: len(log) == 30)
        task.cancel()

    assert clock.monotonic() == 1800


async def test_waiting_for_what_time_does_not_bring_is_an_error() -> None:
    with pytest.raises(AssertionError, match="nobody waits for time"):
        await VirtualClock().advance_until(lambda: False)
