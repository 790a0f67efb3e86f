"""`/debug/api_priority_and_fairness/…`: levels, queues and requests as they are now, as tables of text.

Source: apiserver `flowcontrol/apf_controller_debug.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kplane.api.clock import Clock

from ..http.call import Call
from .control import FlowControl
from .flows import Level
from .queues import Queue, Request

Row: TypeAlias = Sequence[str]

PATH = "/debug/api_priority_and_fairness"
_LEVELS = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
    "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests",
)  # fmt: skip
_QUEUES = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR",
    "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUESTS = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher",
    "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime",
)  # fmt: skip
_DETAILS = (
    "UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource",
)  # fmt: skip
_NEVER = "0001-01-01T00:00:00Z"
_REJECTED = ("queue-full", "concurrency-limit")


class Dumps:
    def __init__(self, control: FlowControl, clock: Clock) -> None:
        self._control = control
        self._clock = clock

    def routes(self) -> Sequence[BaseRoute]:
        pages: dict[str, Callable[[HttpRequest], Iterator[Row]]] = {
            "dump_priority_levels": self._priority_levels,
            "dump_queues": self._queues,
            "dump_requests": self._requests,
        }
        return [Route(f"{PATH}/{name}", _page(rows)) for name, rows in pages.items()]

    def _priority_levels(self, request: HttpRequest) -> Iterator[Row]:
        yield _LEVELS
        for name, level in self._each():
            queues, refused = level.queues, level.refusals
            dispatched = sum(c.dispatched for (of, _), c in self._control.counts.items() if of == name)
            yield (
                name,
                str(sum(bool(queue.waiting) for queue in queues.queues)),
                _bool(queues.idle),
                _bool(level.quiescing),
                str(queues.waiting),
                str(len(queues.running)),
                str(dispatched),
                str(sum(refused.get(reason, 0) for reason in _REJECTED)),
                str(refused.get("time-out", 0)),
                str(refused.get("cancelled", 0)),
            )

    def _queues(self, request: HttpRequest) -> Iterator[Row]:
        yield _QUEUES
        for name, level in self._each():
            for queue in level.queues.queues:
                yield (
                    name,
                    str(queue.index),
                    str(len(queue.waiting)),
                    str(queue.running),
                    str(queue.seats),
                    f"{queue.next_r:.8f}ss",
                    str(sum(each.work.seats for each in queue.waiting)),
                    str(sum(each.seats for each in queue.waiting)),
                    f"{queue.work:.8f}ss",
                )

    def _requests(self, request: HttpRequest) -> Iterator[Row]:
        details = bool(request.query_params.get("includeRequestDetails"))
        yield (*_REQUESTS, *_DETAILS) if details else _REQUESTS
        for name, level in self._each():
            for each in level.queues.running:
                yield self._row(name, each, -1, -1, details)
            for queue in level.queues.queues:
                yield from self._in_queue(name, queue, details)

    def _in_queue(self, level: str, queue: Queue, details: bool) -> Iterator[Row]:
        for index, request in enumerate(queue.waiting):
            yield self._row(level, request, queue.index, index, details)

    def _row(self, level: str, request: Request, queue: int, index: int, details: bool) -> Row:
        work = request.work
        row = (
            level,
            request.flow.schema.name,
            str(queue),
            str(index),
            request.flow.distinguisher,
            self._time(request.arrived),
            str(work.seats),
            str(work.final_seats),
            f"{work.final_seconds * 1000:g}ms" if work.final_seconds else "0s",
            self._time(request.started) if queue < 0 else _NEVER,
        )
        return (*row, *_details(request)) if details else row

    def _each(self) -> Iterable[tuple[str, Level]]:
        return sorted(self._control.levels.items())

    def _time(self, monotonic: float) -> str:
        moment = self._clock.now() - timedelta(seconds=self._clock.monotonic() - monotonic)
        return _nanoseconds(moment)


def _details(request: Request) -> Row:
    call = request.subject
    if not isinstance(call, Call):
        return ("",) * len(_DETAILS)
    info = call.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (
        call.user.name, info.verb, info.path, info.namespace, info.name, version, info.resource,
        info.subresource,
    )  # fmt: skip


def _nanoseconds(moment: datetime) -> str:
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _page(rows: Callable[[HttpRequest], Iterator[Row]]) -> Callable[[HttpRequest], object]:
    async def page(request: HttpRequest) -> Response:
        return Response(table(list(rows(request))), media_type="text/plain; charset=utf-8")

    return page


def table(rows: Sequence[Row]) -> str:
    """Columns side by side, separated by commas, as Go's tabwriter sets them."""
    widths = [max(8, max(len(cell) for cell in column) + 2) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{cell},".ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join([*cells, row[-1]]))
    return "\n".join(lines) + "\n"
