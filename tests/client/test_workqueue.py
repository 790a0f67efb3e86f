"""The work queue: each key at most once at a time, failures come back later, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.client.workqueue import Requeue, Terminal, WorkQueue
from kplane.testing import VirtualClock, as_view, make_pod, make_replicaset

A, B = Key("default", "a"), Key("default", "b")

Reconcile = Callable[[Key], Awaitable[Requeue | None]]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> WorkQueue:
    return WorkQueue("test", clock)


@asynccontextmanager
async def running(queue: WorkQueue, reconcile: Reconcile, workers: int = 1) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.run(reconcile, workers))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), "the queue has failed"


class Recorder:
    """A reconcile that notes when it saw which key, and does what it is told."""

    def __init__(self, clock: VirtualClock, *outcomes: Requeue | Exception | None) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self.seen: list[tuple[float, Key]] = []

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.seen]

    async def __call__(self, key: Key) -> Requeue | None:
        self.seen.append((self._clock.monotonic(), key))
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def failures(count: int) -> list[Exception]:
    return [OSError("no") for _ in range(count)]


class Gate:
    """A reconcile that does not return before it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.active: list[Key] = []
        self.most_active: dict[Key, int] = {}
        self.runs = 0

    async def __call__(self, key: Key) -> None:
        self.runs += 1
        self.active.append(key)
        self.most_active[key] = max(self.most_active.get(key, 0), self.active.count(key))
        await self.open.wait()
        self.active.remove(key)


async def test_waiting_keys_are_kept_once_and_in_order(clock: VirtualClock, queue: WorkQueue) -> None:
    for key in (A, B, A):
        queue.add(key)
    recorder = Recorder(clock)

    async with running(queue, recorder):
        await clock.idle()

    assert [key for _, key in recorder.seen] == [A, B]
    assert len(queue) == 0


async def test_key_added_during_its_work_is_worked_on_again_and_never_twice_at_once(
    clock: VirtualClock, queue: WorkQueue
) -> None:
    gate = Gate()
    async with running(queue, gate, workers=4):
        queue.add(A)
        await clock.idle()
        queue.add(A)
        queue.add(A)
        queue.add(B)
        await clock.idle()
        assert sorted(gate.active) == [A, B]
        gate.open.set()
        await clock.idle()

    assert gate.most_active == {A: 1, B: 1}
    assert gate.runs == 3


async def test_failures_come_back_after_doubling_delays(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock, *failures(4))
    async with running(queue, recorder):
        queue.add(A)
        await clock.advance(60)

    assert recorder.times == [0, 0.005, 0.015, 0.035, 0.075]


async def test_success_forgets_earlier_failures(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock, OSError("no"), OSError("no"), None, OSError("no"))
    async with running(queue, recorder):
        queue.add(A)
        await clock.advance(1)
        queue.add(A)
        await clock.advance(1)

    assert recorder.times == [0, 0.005, 0.015, 1, 1.005]


async def test_delay_between_failures_is_at_most_a_thousand_seconds(
    clock: VirtualClock, queue: WorkQueue
) -> None:
    recorder = Recorder(clock, *failures(21))
    async with running(queue, recorder):
        queue.add(A)
        await clock.advance(10_000)

    gaps = [later - earlier for earlier, later in zip(recorder.times, recorder.times[1:], strict=False)]
    assert max(gaps) == pytest.approx(1000)


async def test_failures_of_many_keys_share_one_rate(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock, *failures(120))
    async with running(queue, recorder):
        for number in range(120):
            queue.add(Key("default", str(number)))
        await clock.advance(1)
        # 100 at once, and ten more in the second that has passed.
        assert len(recorder.seen) == 120 + 110
        await clock.advance(1)

    assert len(recorder.seen) == 240


async def test_requeue_comes_back_once_at_its_time(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock, Requeue(after=30))
    async with running(queue, recorder):
        queue.add(A)
        await clock.advance(100)

    assert recorder.times == [0, 30]


async def test_terminal_is_not_retried_until_the_next_change(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock, Terminal("cannot be"))
    async with running(queue, recorder):
        queue.add(A)
        await clock.advance(5000)
        assert recorder.times == [0]
        queue.add(A)
        await clock.idle()

    assert recorder.times == [0, 5000]


async def test_earliest_of_several_times_counts(clock: VirtualClock, queue: WorkQueue) -> None:
    recorder = Recorder(clock)
    queue.add_after(A, 50)
    async with running(queue, recorder):
        queue.add_after(B, 20)
        queue.add_after(A, 10)
        queue.add_after(A, 40)
        await clock.advance(100)

    assert [(round(at), key) for at, key in recorder.seen] == [(10, A), (20, B)]


async def test_cancelled_work_waits_for_the_next_run(clock: VirtualClock, queue: WorkQueue) -> None:
    queue.add(A)
    queue.add(B)
    queue.add_after(Key("default", "late"), 5)
    async with running(queue, Gate()):
        await clock.idle()

    recorder = Recorder(clock)
    async with running(queue, recorder):
        await clock.advance(10)

    assert sorted(key.name for _, key in recorder.seen) == ["a", "b", "late"]


async def test_wake_owner_adds_the_controllers_of_old_and_new(queue: WorkQueue) -> None:
    def owned(by: str) -> Pod:
        return as_view(Pod, make_pod(owner=make_replicaset(by)))

    queue.wake_owner(owned("one"), owned("two"))
    queue.wake_owner(None, as_view(Pod, make_pod("orphan")))
    queue.wake_owner(make_pod(owner=make_replicaset("three")), None)

    assert len(queue) == 3


async def test_changes_of_children_gather_for_a_while_from_the_first_on(
    clock: VirtualClock, queue: WorkQueue
) -> None:
    recorder = Recorder(clock)
    wake = queue.wake_owner_later(lambda key: 1.0 if key.name == "large" else 0.0)
    child, other = (as_view(Pod, make_pod(owner=make_replicaset(name))) for name in ("large", "small"))
    async with running(queue, recorder):
        wake(None, other)
        for _ in range(5):
            wake(None, child)
            await clock.advance(0.3)
        await clock.advance(2)

    assert [key.name for _, key in recorder.seen] == ["small", "large", "large"]


async def test_metrics_have_upstreams_names(clock: VirtualClock) -> None:
    queue = WorkQueue("metered", clock)
    queue.add(A)
    queue.add(B)

    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"name": "metered"})

    assert (value("workqueue_depth"), value("workqueue_adds_total")) == (2, 2)
    async with running(queue, Recorder(clock, OSError("no"))):
        await clock.idle()
    assert (value("workqueue_depth"), value("workqueue_retries_total")) == (0, 1)
    assert value("workqueue_queue_duration_seconds_count") == 2
    assert value("workqueue_work_duration_seconds_count") == 2
