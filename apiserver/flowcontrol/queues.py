"""The seats and queues of one priority level: who runs, who waits, who comes next.

Waiting requests are dispatched by fair queuing for server requests: virtual time R runs on as the level does
work, each queue has the R at which its next request would start, and of the first requests in the queues the
one that would finish first runs next. All is decided in plain calls; time comes from the injected clock.
Source: apiserver `fairqueuing/queueset`, KEP-1040.

Invariant: no request waits while seats are free for the one that is next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from .demand import Demand

if TYPE_CHECKING:
    from .flows import Flow

ESTIMATED_SECONDS = 0.003
"""How long a request is taken to run, until it is known: upstream's G."""

Later = Callable[[float, Callable[[], None]], object]
"""`later(seconds, act)`."""


class Work(NamedTuple):
    """What a request costs: seats while it runs, and seats for some seconds after its answer, while its
    watchers are told."""

    seats: int = 1
    final_seats: int = 0
    final_seconds: float = 0.0

    @property
    def most(self) -> int:
        return max(self.seats, self.final_seats)

    @property
    def total(self) -> float:
        """Seat-seconds."""
        return self.seats * ESTIMATED_SECONDS + self.final_seats * self.final_seconds


ONE_SEAT = Work()


class Refusal(Enum):
    """Why a request does not run: upstream's `reason`."""

    QUEUE_FULL = "queue-full"
    CONCURRENCY_LIMIT = "concurrency-limit"
    TIMED_OUT = "time-out"
    CANCELLED = "cancelled"


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class Request:
    """One request on its way through a level. `on_run` is called once, when one that waited may run."""

    __slots__ = (
        "arrived", "arrived_r", "flow", "on_run", "queue", "seats", "started", "state", "subject", "total",
        "work",
    )  # fmt: skip

    def __init__(self, flow: Flow, work: Work, subject: object = None) -> None:
        self.flow = flow
        self.work = work
        self.subject = subject
        """Whom it comes from and what it asks, for those who look."""
        self.seats = 1 if work is ONE_SEAT else work.most
        self.total = ESTIMATED_SECONDS if work is ONE_SEAT else work.total
        self.state = State.WAITING
        self.queue: Queue | None = None
        self.arrived = self.started = self.arrived_r = 0.0
        self.on_run: Callable[[], None] | None = None


class Queue:
    """`next_r`: when in virtual time its next request starts."""

    __slots__ = ("first", "index", "next_r", "running", "seats", "waiting", "work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: dict[Request, None] = {}
        self.first: Request | None = None
        """Of those that wait."""
        self.work = 0.0
        """Seat-seconds that wait."""
        self.running = 0
        self.seats = 0
        self.next_r = 0.0

    @property
    def active(self) -> bool:
        return bool(self.running or self.waiting)


class QueueSet:
    """With no queues, what does not fit is refused; with `exempt` everything fits."""

    def __init__(self, clock: Callable[[], float], later: Later, *, exempt: bool = False) -> None:
        self._clock = clock
        self._later = later
        self._exempt = exempt
        self.queues: list[Queue] = []
        self._length = 0
        self.limit = 0
        self.seats = 0
        """In use."""
        self.waiting_seats = 0
        self.running: dict[Request, None] = {}
        self.waiting = 0
        self._waiting_in: dict[Queue, None] = {}
        self._active = 0
        """Queues with requests that wait or run."""
        self._at = clock()
        self.r = 0.0
        self.dispatched_r = 0.0
        self._arrivals = 0
        self._robin = 0
        self.demand = Demand(self._at)

    def configure(self, queues: int, length: int) -> None:
        """So many queues of that length. Those that are too many go once they are empty."""
        self._length = length
        have = self.queues[:queues]
        left = [queue for queue in self.queues[queues:] if queue.active]
        self.queues = [*have, *map(Queue, range(len(have), queues)), *left]
        for index, queue in enumerate(self.queues):
            queue.index = index

    def set_limit(self, limit: int) -> None:
        self._advance()
        self.limit = limit
        self._dispatch()

    @property
    def idle(self) -> bool:
        return not self.running and not self.waiting

    def begin(self, request: Request, hand: Sequence[int]) -> Refusal | None:
        """Run it, or let it wait (its state says which), or refuse it. `hand`: the queues of its flow."""
        self._advance()
        request.arrived = self._at
        if not hand:
            if not self._exempt and not self._fits(request.seats):
                return Refusal.CONCURRENCY_LIMIT
            self._run(request)
            return None
        queue = request.queue = self._choose(hand)
        if self.seats >= self.limit and len(queue.waiting) >= self._length:
            request.queue = None
            return Refusal.QUEUE_FULL
        if not queue.active:
            queue.next_r = self.r
            self._active += 1
        request.arrived_r = self.r
        if not self.waiting and self.seats < self.limit and self._fits(request.seats):
            queue.next_r = max(queue.next_r, self.r)
            self._start(queue, request)
            return None
        self._enqueue(queue, request)
        self._dispatch()
        return None

    def finish(self, request: Request) -> None:
        """A request that ran has ended."""
        self._advance()
        request.state = State.DONE
        del self.running[request]
        # It leads back here, and nobody looks at it any more.
        request.subject = None
        queue, work = request.queue, request.work
        request.flow.counts.ended(request.seats)
        if queue is not None:
            queue.running -= 1
            queue.next_r -= work.seats * (ESTIMATED_SECONDS - (self._at - request.started))
            self._bound(queue)
            self._settle(queue)
        kept = work.final_seats if work.final_seconds > 0 else 0
        self._release(queue, request.seats - kept)
        if kept:
            self._later(work.final_seconds, partial(self._finish_final, queue, kept))
        if self.waiting:
            self._dispatch()

    def cancel(self, request: Request) -> None:
        """A request that waited waits no more."""
        self._advance()
        queue = request.queue
        assert queue is not None
        assert request.state is State.WAITING
        request.state = State.DONE
        self._dequeue(queue, request)
        self._bound(queue)
        self._settle(queue)
        self.demand.set(self._at, self.seats + self.waiting_seats)
        # What it stood in front of may fit.
        self._dispatch()

    def _advance(self) -> None:
        """Virtual time up to now: the faster, the more seats work for each queue."""
        now = self._clock()
        if self._active:
            rate = min(self.seats + self.waiting_seats, self.limit) / self._active
            self.r += (now - self._at) * rate
        self._at = now

    def _choose(self, hand: Sequence[int]) -> Queue:
        """The queue of the hand with the least waiting work; from another card on each time."""
        self._arrivals += 1
        size = len(hand)
        offset = self._arrivals % size
        if not self.waiting:
            return self.queues[hand[offset]]
        dealt = (self.queues[hand[(offset + place) % size]] for place in range(size))
        return min(dealt, key=lambda queue: queue.work)

    def _fits(self, seats: int) -> bool:
        if seats > self.limit:
            # It would wait for ever: it runs when nothing else does.
            return not self.running
        return self.seats + seats <= self.limit

    def _enqueue(self, queue: Queue, request: Request) -> None:
        if not queue.waiting:
            self._waiting_in[queue] = None
            queue.first = request
        queue.waiting[request] = None
        queue.work += request.total
        self.waiting += 1
        self.waiting_seats += request.seats
        self._bound(queue)
        request.flow.counts.queued(request.seats, len(queue.waiting))
        self.demand.set(self._at, self.seats + self.waiting_seats)

    def _dequeue(self, queue: Queue, request: Request) -> None:
        del queue.waiting[request]
        queue.work = queue.work - request.total if queue.waiting else 0.0
        if queue.first is request:
            queue.first = next(iter(queue.waiting), None)
        if not queue.waiting:
            del self._waiting_in[queue]
        self.waiting -= 1
        self.waiting_seats -= request.seats
        request.flow.counts.left_queue(request.seats)

    def _dispatch(self) -> None:
        while self.waiting and self.seats < self.limit:
            queue, request = self._next()
            if not self._fits(request.seats):
                request.flow.counts.unaccommodated += 1
                return
            self._robin = queue.index
            self._dequeue(queue, request)
            self._start(queue, request)
            self._bound(queue)
            if request.on_run is not None:
                request.on_run()

    def _next(self) -> tuple[Queue, Request]:
        """The queue whose first request finishes first, and that request; of equal ones the next in the
        round."""
        size, after = len(self.queues), self._robin + 1
        found: tuple[Queue, Request] | None = None
        least, turn = 0.0, 0
        for queue in self._waiting_in:
            request = queue.first
            assert request is not None
            finish = queue.next_r + request.total
            if found is None or finish < least or (finish == least and (queue.index - after) % size < turn):
                found, least, turn = (queue, request), finish, (queue.index - after) % size
        assert found is not None
        return found

    def _start(self, queue: Queue, request: Request) -> None:
        queue.running += 1
        queue.seats += request.seats
        queue.next_r += request.total
        self.dispatched_r = self.r
        self._run(request)

    def _run(self, request: Request) -> None:
        request.state = State.RUNNING
        request.started = self._at
        self.running[request] = None
        self.seats += request.seats
        request.flow.counts.began(request.seats, self._at - request.arrived)
        self.demand.set(self._at, self.seats + self.waiting_seats)

    def _finish_final(self, queue: Queue | None, seats: int) -> None:
        self._advance()
        self._release(queue, seats)
        self._dispatch()

    def _release(self, queue: Queue | None, seats: int) -> None:
        self.seats -= seats
        if queue is not None:
            queue.seats -= seats
        self.demand.set(self._at, self.seats + self.waiting_seats)

    def _bound(self, queue: Queue) -> None:
        """A queue saves no time for later: its next request does not start before it came."""
        if queue.first is not None:
            queue.next_r = max(queue.next_r, queue.first.arrived_r)

    def _settle(self, queue: Queue) -> None:
        """Take note of a queue that has become empty."""
        if not queue.active:
            self._active -= 1
