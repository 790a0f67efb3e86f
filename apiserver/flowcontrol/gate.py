"""What the request boundary asks: may this request run, and when? One gate for flow control, one without it.

A request that may run at once costs a few plain calls: no task, no future. One that waits gets a future, and
a task beside it that listens whether the client is still there; what the client sends meanwhile is kept for
the handler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from kplane.api.errors import TooManyRequests

from ..auth.user import MASTERS_GROUP
from ..http.call import Call, ClientGone, Receive
from ..http.requestinfo import RequestInfo
from .control import FlowControl
from .flows import Flow
from .queues import Refusal, Request, State
from .seats import Estimator
from .watchcounts import Place, WatchCounts

MOST_HELD = 64 * 1024
"""Bytes of a body that are read before its request runs; then the client has to wait."""
_READ_ONLY = frozenset({"get", "list", "watch"})


class NoRoom(TooManyRequests):
    """More requests than the server takes. Answered in plain text, as upstream's filters do."""

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("Too many requests, please try again later.", retry_after=retry_after)


class Seat(Protocol):
    """Of one request. `leave` may be called twice."""

    waits: bool

    async def wait(self, receive: Receive) -> Receive:
        """Return when the request may run, with what its handler reads from. Raises NoRoom, ClientGone."""

    def leave(self) -> None:
        """The request is done, or a watch has begun: its seat is free."""

    def end(self) -> None:
        """The request is over."""


class Gate(Protocol):
    def enter(self, call: Call, *, long_running: bool) -> Seat | None:
        """None where nothing limits it. Raises NoRoom."""


class FairGate:
    """`wait_seconds`: the longest that requests wait."""

    def __init__(
        self,
        control: FlowControl,
        estimator: Estimator,
        watches: WatchCounts,
        clock: Callable[[], float],
        wait_seconds: float,
    ) -> None:
        self.control = control
        self._estimator = estimator
        self._watches = watches
        self._clock = clock
        self._wait_seconds = wait_seconds

    def enter(self, call: Call, *, long_running: bool) -> Seat | None:
        info = call.info
        watches = info.verb == "watch"
        if long_running and not watches:
            return None
        flow = self.control.classify(call.user, info)
        call.response_headers = flow.headers
        request = Request(flow, self._estimator.work(info, flow), call)
        refusal = flow.level.queues.begin(request, flow.hand)
        if refusal is not None:
            raise self.refuse(flow, refusal, 0.0)
        return _FairSeat(self, request, info if watches else None)

    def refuse(self, flow: Flow, why: Refusal, waited: float) -> NoRoom:
        flow.counts.rejected(why.value, waited)
        level = flow.level
        level.refusals[why.value] = level.refusals.get(why.value, 0) + 1
        return NoRoom(level.retries.refused(self._clock()))

    @property
    def wait_seconds(self) -> float:
        return self._wait_seconds

    def register(self, info: RequestInfo) -> tuple[Place, str]:
        return self._watches.register(info)

    def forget(self, registered: tuple[Place, str]) -> None:
        self._watches.forget(registered)

    def now(self) -> float:
        return self._clock()


class _FairSeat:
    __slots__ = ("_gate", "_registered", "_request", "_watch", "waits")

    def __init__(self, gate: FairGate, request: Request, watch: RequestInfo | None) -> None:
        self._gate = gate
        self._request = request
        self._watch = watch
        self._registered = gate.register(watch) if watch and request.state is State.RUNNING else None
        self.waits = request.state is State.WAITING

    async def wait(self, receive: Receive) -> Receive:
        request, gate = self._request, self._gate
        loop = asyncio.get_running_loop()
        runs: asyncio.Future[bool] = loop.create_future()
        request.on_run = lambda: None if runs.done() else runs.set_result(True)
        held = _Held(receive)
        reason = Refusal.CANCELLED
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(held.listen(runs))
                try:
                    async with asyncio.timeout(gate.wait_seconds):
                        await runs
                except TimeoutError:
                    reason = Refusal.TIMED_OUT
                finally:
                    listening.cancel()
        finally:
            if request.state is State.WAITING:
                request.flow.level.queues.cancel(request)
                refused = gate.refuse(request.flow, reason, gate.now() - request.arrived)
        if request.state is State.DONE:
            raise refused if reason is Refusal.TIMED_OUT else ClientGone
        if self._watch:
            self._registered = gate.register(self._watch)
        return held

    def leave(self) -> None:
        request = self._request
        if request.state is State.RUNNING:
            flow = request.flow
            flow.level.queues.finish(request)
            kind = "watch" if self._watch else "regular"
            flow.counts.execution[kind].observe(self._gate.now() - request.started)

    def end(self) -> None:
        self.leave()
        if self._registered is not None:
            self._gate.forget(self._registered)
            self._registered = None


class _Held:
    """What a client sends while its request waits; afterwards this is what the handler reads from."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[MutableMapping[str, Any]] = deque()

    async def listen(self, runs: asyncio.Future[bool]) -> None:
        """Until the client hangs up, which ends the waiting, or has sent as much as may be held."""
        size = 0
        while size < MOST_HELD:
            message = await self._receive()
            self._messages.append(message)
            if message["type"] == "http.disconnect":
                if not runs.done():
                    runs.set_result(False)
                return
            size += len(message.get("body", b""))

    async def __call__(self) -> MutableMapping[str, Any]:
        return self._messages.popleft() if self._messages else await self._receive()


class PlainGate:
    """So many requests that read, and so many that write, at once; 0 is no limit. Long-running ones are not
    counted, and administrators always get in."""

    def __init__(self, reads: int, writes: int) -> None:
        self._limits = {False: reads, True: writes}
        self._running = {False: 0, True: 0}

    def enter(self, call: Call, *, long_running: bool) -> Seat | None:
        writes = call.info.verb not in _READ_ONLY
        limit = self._limits[writes]
        if long_running or not limit:
            return None
        if self._running[writes] >= limit:
            if MASTERS_GROUP in call.user.groups:
                return None
            raise NoRoom
        return _PlainSeat(self._running, writes)


class _PlainSeat:
    waits = False

    def __init__(self, running: dict[bool, int], writes: bool) -> None:
        self._running = running
        self._writes = writes
        self._left = False
        running[writes] += 1

    async def wait(self, receive: Receive) -> Receive:
        return receive

    def leave(self) -> None:
        if not self._left:
            self._left = True
            self._running[self._writes] -= 1

    end = leave
