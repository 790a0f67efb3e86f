"""How many seats a request takes: lists by what they read, writes by whom they will have to tell.

Source: apiserver `flowcontrol/request/{list,mutating}_work_estimator.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from ..http.requestinfo import RequestInfo, is_true
from .flows import Flow
from .queues import ONE_SEAT, Work
from .watchcounts import WatchCounts

MOST_FOR_LISTS = 100
MOST_FOR_WRITES = 10
BYTES_PER_SEAT = 100_000
MOST_CACHED_BYTES = 1_000_000
"""What a list from the cache holds in memory at once."""
WATCHES_PER_SEAT = 10.0
EVENT_SECONDS = 0.005
"""How long it takes to tell so many watches of one event."""
_WRITES = frozenset({"create", "update", "patch", "delete"})
_READS = frozenset({"list", "watch"})


class Stored(NamedTuple):
    """What there is of a resource."""

    objects: int
    average_size: int


class Estimator:
    """`stored` knows the resources of this server, None the others."""

    def __init__(self, stored: Callable[[RequestInfo], Stored | None], watches: WatchCounts) -> None:
        self._stored = stored
        self._watches = watches

    def work(self, info: RequestInfo, flow: Flow) -> Work:
        if info.verb in _WRITES:
            work = self._write(info, flow)
        elif info.verb in _READS:
            work = self._list(info, flow)
        else:
            work = ONE_SEAT
        flow.counts.estimated.observe(1 if work is ONE_SEAT else work.most)
        return work

    def _write(self, info: RequestInfo, flow: Flow) -> Work:
        if info.resource == "serviceaccounts" and info.subresource == "token":
            # Nothing is stored, so there is nothing to be told.
            return ONE_SEAT
        watches = self._watches.interested(info)
        flow.counts.watches.observe(watches)
        if watches < WATCHES_PER_SEAT:
            return ONE_SEAT
        wide = ceil(watches / WATCHES_PER_SEAT)
        seats = min(wide, flow.level.most_seats or MOST_FOR_WRITES, MOST_FOR_WRITES)
        # Fewer seats for longer: wide requests block what could run beside them.
        return Work(1, seats, wide * EVENT_SECONDS / seats)

    def _list(self, info: RequestInfo, flow: Flow) -> Work:
        query = info.query
        if info.verb == "watch" and not is_true(query.get("sendInitialEvents")):
            return ONE_SEAT
        stored = self._stored(info)
        if stored is None:
            return ONE_SEAT
        most = min(flow.level.most_seats or MOST_FOR_LISTS, MOST_FOR_LISTS)
        limit = _number(query.get("limit"))
        if limit is None:
            # It will be refused; until then it may cost whatever it asks for.
            return Work(most)
        read = min(limit, stored.objects) if limit > 0 else stored.objects
        if info.name or "metadata.name=" in query.get("fieldSelector", ""):
            read = 1
        seats = ceil(self._bytes(info, stored, read) / BYTES_PER_SEAT)
        return Work(min(seats, most)) if seats > 1 and most > 1 else ONE_SEAT

    def _bytes(self, info: RequestInfo, stored: Stored, read: int) -> int:
        """That are in memory at once."""
        if info.verb == "watch" or _is_cached(info):
            return min(read * stored.average_size, MOST_CACHED_BYTES)
        if info.query.get("fieldSelector") or info.query.get("labelSelector"):
            read = max(read, stored.objects // 2)
        return read * stored.average_size


def _is_cached(info: RequestInfo) -> bool:
    """Whether the state that a list asks for is the present one."""
    query = info.query
    match = query.get("resourceVersionMatch", "")
    if match:
        return match == "NotOlderThan"
    if query.get("continue"):
        return False
    legacy = query.get("limit", "0") != "0" and query.get("resourceVersion", "0") not in ("", "0")
    return not legacy


def _number(text: str | None) -> int | None:
    if text is None:
        return 0
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20 else None
