"""Priority levels under virtual time: a clock that a test moves, and clients that send requests."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from kplane.apiserver.auth.user import User
from kplane.apiserver.flowcontrol.counts import Counts
from kplane.apiserver.flowcontrol.flows import Flow
from kplane.apiserver.flowcontrol.queues import ONE_SEAT, QueueSet, Refusal, Request, State, Work
from kplane.apiserver.http.requestinfo import RequestInfo, read


class Time:
    """Moves from event to event."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), act))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = end


def queue_set(time: Time, *, limit: int, queues: int = 0, length: int = 50, exempt: bool = False) -> QueueSet:
    made = QueueSet(time, time.later, exempt=exempt)
    made.configure(queues, length)
    made.set_limit(limit)
    return made


def flow(*hand: int) -> Flow:
    return Flow(None, None, "", hand, Counts(), ())  # type: ignore[arg-type]


class Client:
    """Keeps so many requests going, each of which runs for `seconds`."""

    def __init__(
        self, time: Time, queues: QueueSet, of: Flow, *, seconds: float, work: Work = ONE_SEAT
    ) -> None:
        self._time = time
        self._queues = queues
        self._flow = of
        self._seconds = seconds
        self._work = work
        self.served = 0
        self.refused = 0

    def send(self, requests: int) -> None:
        for _ in range(requests):
            self._send()

    def _send(self) -> None:
        request = Request(self._flow, self._work)
        request.on_run = lambda: self._run(request)
        if self._queues.begin(request, self._flow.hand) is not None:
            self.refused += 1
        elif request.state is State.RUNNING:
            self._run(request)

    def _run(self, request: Request) -> None:
        self._time.later(self._seconds, lambda: self._finish(request))

    def _finish(self, request: Request) -> None:
        self.served += 1
        self._queues.finish(request)
        self._send()


def begin(queues: QueueSet, of: Flow, work: Work = ONE_SEAT) -> tuple[Request, Refusal | None]:
    request = Request(of, work)
    return request, queues.begin(request, of.hand)


def info(verb: str, path: str, **query: Any) -> RequestInfo:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return read(verb, path, text.encode())


def user(name: str, *groups: str) -> User:
    return User(name, groups=groups)
