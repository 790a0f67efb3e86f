"""The scheduling queue: order, backoff, and what wakes a refused Pod."""

import asyncio
from typing import Any

import pytest

from kplane.api.types import Node
from kplane.scheduler.framework import Change
from kplane.scheduler.queue import Place, SchedulingQueue, Waiting
from kplane.scheduler.registry import default_profile
from kplane.testing.clock import VirtualClock
from kplane.testing.objects import make_node

from .support import node_view, pod_info

FIT = frozenset({"NodeResourcesFit"})
CORDON = frozenset({"NodeUnschedulable"})


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> SchedulingQueue:
    return SchedulingQueue(clock, {plugin.name: plugin.retry_on for plugin in default_profile().filters})


@pytest.fixture
async def running(queue: SchedulingQueue) -> Any:
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.wait([task])


def active(queue: SchedulingQueue) -> int:
    return queue.count(Place.ACTIVE)


async def take_and_refuse(queue: SchedulingQueue, plugins: frozenset[str]) -> Waiting:
    entry = await queue.take()
    queue.refuse(entry, plugins)
    return entry


def node_change(before: dict[str, Any] | None, **after: Any) -> Change:
    old = node_view(make_node(**before)) if before is not None else None
    return Change(Node, old, node_view(make_node(**after)))


async def test_higher_priority_goes_first_then_whoever_waits_longer(
    queue: SchedulingQueue, clock: VirtualClock
) -> None:
    for name, priority in (("first", 0), ("urgent", 10), ("second", 0)):
        queue.put(pod_info(name, priority=priority))
        await clock.advance(1)

    assert [(await queue.take()).info.key.name for _ in range(3)] == ["urgent", "first", "second"]


@pytest.mark.parametrize(
    ("plugins", "change", "woken"),
    [
        pytest.param(CORDON, node_change({"unschedulable": True}), True, id="uncordoned"),
        pytest.param(CORDON, node_change({"cpu": "2"}), False, id="unrelated-field"),
        pytest.param(FIT, node_change({"cpu": "2"}), True, id="larger-node"),
        pytest.param(FIT, node_change({}, ready=False), False, id="heartbeat"),
        pytest.param(CORDON, node_change(None), True, id="new-node"),
    ],
)
async def test_only_changes_that_concern_the_refusal_wake(
    queue: SchedulingQueue, clock: VirtualClock, plugins: frozenset[str], change: Change, woken: bool
) -> None:
    queue.put(pod_info())
    await take_and_refuse(queue, plugins)
    await clock.advance(5)

    queue.wake(change)

    assert (active(queue) == 1) is woken


async def test_a_pod_that_leaves_its_node_wakes_those_that_lacked_resources(
    queue: SchedulingQueue, clock: VirtualClock
) -> None:
    queue.put(pod_info())
    await take_and_refuse(queue, FIT)
    await clock.advance(5)

    queue.wake(Change(type(pod_info().pod), pod_info("other").pod, None, placed=True))

    assert active(queue) == 1


async def test_a_change_of_the_pod_itself_wakes_it(queue: SchedulingQueue, clock: VirtualClock) -> None:
    queue.put(pod_info())
    await take_and_refuse(queue, CORDON)
    await clock.advance(5)

    queue.put(pod_info(nodeSelector={"disk": "ssd"}))
    assert active(queue) == 0

    queue.put(pod_info(tolerations=[{"operator": "Exists"}]))
    assert active(queue) == 1


async def test_backoff_doubles_from_one_to_ten_seconds_after_errors(
    running: SchedulingQueue, clock: VirtualClock
) -> None:
    running.put(pod_info())
    waits = []
    for _ in range(6):
        entry = await running.take()
        running.fail(entry)
        began = clock.monotonic()
        await clock.advance_until(lambda: active(running) == 1)
        waits.append(clock.monotonic() - began)

    assert waits == [1, 2, 4, 8, 10, 10]


async def test_woken_pods_in_backoff_are_taken_early_when_nothing_else_waits(queue: SchedulingQueue) -> None:
    queue.put(pod_info())
    refused = await take_and_refuse(queue, FIT)
    queue.wake(node_change(None))
    assert queue.count(Place.BACKOFF) == 1

    assert await queue.take() is refused


async def test_refused_pods_are_tried_again_after_five_minutes(
    running: SchedulingQueue, clock: VirtualClock
) -> None:
    running.put(pod_info())
    await take_and_refuse(running, FIT)

    await clock.advance(299)
    assert active(running) == 0
    await clock.advance(2)
    assert active(running) == 1


@pytest.mark.parametrize("place", [Place.ACTIVE, Place.ERROR, Place.UNSCHEDULABLE, Place.TAKEN])
async def test_a_removed_pod_never_comes_back(
    queue: SchedulingQueue, clock: VirtualClock, place: Place
) -> None:
    queue.put(pod_info())
    entry = await queue.take() if place is not Place.ACTIVE else None
    if entry is not None and place is Place.ERROR:
        queue.fail(entry)
    if entry is not None and place is Place.UNSCHEDULABLE:
        queue.refuse(entry, FIT)

    queue.remove(pod_info().uid)
    if entry is not None and place is Place.TAKEN:
        queue.refuse(entry, FIT)
    await clock.advance(400)
    queue.flush()
    queue.wake(node_change(None))

    assert len(queue) == 0
    queue.put(pod_info("next"))
    assert (await queue.take()).info.key.name == "next"


async def test_take_waits_until_there_is_a_pod(queue: SchedulingQueue, clock: VirtualClock) -> None:
    taking = asyncio.create_task(queue.take())
    await clock.idle()
    assert not taking.done()

    queue.put(pod_info("late"))

    assert (await taking).info.key.name == "late"
