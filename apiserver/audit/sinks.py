"""How events get to a backend: at once (`blocking`, `blocking-strict`) or gathered (`batch`).

A backend only writes; a sink decides when, counts what is lost, and bounds what waits.
Source: apiserver `plugin/pkg/audit/buffered`, `plugin/pkg/audit/truncate`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from kplane.api.clock import Clock

from ..storage.background import Background
from .event import Event, encoded, legacy_line
from .metrics import AuditMetrics
from .settings import BatchSettings, Mode, TruncateSettings

TRUNCATED = "audit.k8s.io/truncated"
SHOWN = 10
"""Lost events that are named in the server's log, of each batch."""
QUIET = 1.0
"""Seconds between two messages about losses: a flood of them would be the next fault."""
JOINED = 1000
"""Events that are written together at most."""

log = logging.getLogger(__name__)


class BackendError(Exception):
    """Events were not written. The text holds nothing of them."""


class Backend(Protocol):
    name: str
    joins: bool
    """Whether batches that wait may be written together: nobody can tell them apart."""

    async def open(self, background: Background) -> None:
        """Raises Fatal where it can never write."""

    async def write(self, events: Sequence[Event]) -> None:
        """Return once they are written. Raises BackendError."""

    def hurry(self) -> None:
        """The server closes: make no pauses."""

    async def close(self) -> None: ...


class Sink(Protocol):
    async def open(self, background: Background) -> None: ...

    async def take(self, event: Event) -> bool:
        """Whether the request may go on."""

    async def close(self) -> None: ...


class Losses:
    """What becomes of events that could not be written: all are counted, some named in the server's log."""

    def __init__(self, metrics: AuditMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._quiet_until = clock.monotonic()
        self._unsaid = 0

    def lost(self, plugin: str, events: Sequence[Event], why: str) -> None:
        self._metrics.failed(plugin, len(events))
        now = self._clock.monotonic()
        self._unsaid += len(events)
        if now < self._quiet_until:
            return
        self._quiet_until = now + QUIET
        log.error("audit plugin failed plugin=%s events=%d error=%s", plugin, self._unsaid, why)
        self._unsaid = 0
        for event in events[:SHOWN]:
            log.error("lost audit event: %s", legacy_line(event))


class Truncation:
    """Drops bodies of events that are too large, and events that are too large even then."""

    def __init__(self, settings: TruncateSettings, losses: Losses) -> None:
        self._settings = settings
        self._losses = losses

    def fitting(self, events: Sequence[Event]) -> Sequence[Sequence[Event]]:
        """The events in batches that are small enough."""
        if not self._settings.enabled:
            return [events]
        batches: list[list[Event]] = []
        room = 0
        for event in events:
            found = self._fit(event)
            if found is None:
                continue
            event, size = found
            if not batches or size > room:
                batches.append([])
                room = self._settings.max_batch_size
            room -= size
            batches[-1].append(event)
        return batches

    def _fit(self, event: Event) -> tuple[Event, int] | None:
        limit = self._settings.max_event_size
        size = len(encoded(event))
        if size > limit:
            notes = (event.annotations or {}) | {TRUNCATED: "true"}
            event = msgspec.structs.replace(
                event, request_object=None, response_object=None, annotations=notes
            )
            size = len(encoded(event))
        if size > limit:
            self._losses.lost("truncate", [event], "event is too large even after truncating")
            return None
        return event, size


class Blocking:
    """Each event is written before the request goes on. `strict`: a request whose arrival cannot be recorded
    is refused."""

    def __init__(self, backend: Backend, truncation: Truncation, losses: Losses, *, strict: bool) -> None:
        self._backend = backend
        self._truncation = truncation
        self._losses = losses
        self._strict = strict

    async def open(self, background: Background) -> None:
        await self._backend.open(background)

    async def close(self) -> None:
        await self._backend.close()

    async def take(self, event: Event) -> bool:
        written = True
        for batch in self._truncation.fitting([event]):
            try:
                await self._backend.write(batch)
            except BackendError as error:
                self._losses.lost(self._backend.name, batch, str(error))
                written = False
        return written or not self._strict


class Batching:
    """Events wait in a bounded buffer; one task writes them. What does not fit in is lost, and counted."""

    def __init__(
        self,
        backend: Backend,
        truncation: Truncation,
        losses: Losses,
        settings: BatchSettings,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._truncation = truncation
        self._losses = losses
        self._settings = settings
        self._clock = clock
        joins = backend.joins and not settings.throttle_enable
        self._at_once = max(settings.max_size, JOINED) if joins else settings.max_size
        self._buffer: deque[Event] = deque()
        self._grown = asyncio.Event()
        self._full = asyncio.Event()
        """Whether there is enough for a batch."""
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._tokens = float(settings.throttle_burst)
        self._filled = clock.monotonic()

    async def open(self, background: Background) -> None:
        await self._backend.open(background)
        self._task = background.start(self._run())

    async def close(self) -> None:
        """Write what waits, without pauses."""
        self._closing = True
        self._backend.hurry()
        self._grown.set()
        self._full.set()
        if self._task is not None:
            await self._task
        await self._backend.close()

    async def take(self, event: Event) -> bool:
        if len(self._buffer) >= self._settings.buffer_size:
            self._losses.lost("buffered", [event], "audit backend queue blocked")
            return True
        self._buffer.append(event)
        self._grown.set()
        if len(self._buffer) >= self._settings.max_size:
            self._full.set()
        return True

    async def _run(self) -> None:
        while True:
            await self._grown.wait()
            if self._settings.max_wait:
                await at_most(self._settings.max_wait, self._full, self._clock)
            while len(self._buffer) >= self._settings.max_size:
                await self._throttle()
                await self._write()
            if self._buffer:
                await self._throttle()
                await self._write()
            if self._buffer:
                continue
            self._grown.clear()
            self._full.clear()
            if self._closing:
                return

    async def _throttle(self) -> None:
        """A token bucket: `throttle_qps` batches a second, `throttle_burst` at once."""
        settings = self._settings
        if not settings.throttle_enable or self._closing:
            return
        now = self._clock.monotonic()
        gained = (now - self._filled) * settings.throttle_qps
        self._tokens = min(self._tokens + gained, float(settings.throttle_burst)) - 1
        self._filled = now
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / settings.throttle_qps)

    async def _write(self) -> None:
        count = min(self._at_once, len(self._buffer))
        taken = [self._buffer.popleft() for _ in range(count)]
        for batch in self._truncation.fitting(taken):
            try:
                await self._backend.write(batch)
            except BackendError as error:
                self._losses.lost(self._backend.name, batch, str(error))


async def at_most(seconds: float, event: asyncio.Event, clock: Clock) -> None:
    """Wait for an event, but no longer than that."""
    if event.is_set():
        return
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(event.wait()), group.create_task(clock.sleep(seconds))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


def sink_for(
    backend: Backend,
    mode: Mode,
    batch: BatchSettings,
    truncate: TruncateSettings,
    metrics: AuditMetrics,
    clock: Clock,
) -> Sink:
    losses = Losses(metrics, clock)
    truncation = Truncation(truncate, losses)
    if mode is Mode.BATCH:
        return Batching(backend, truncation, losses, batch, clock)
    return Blocking(backend, truncation, losses, strict=mode is Mode.BLOCKING_STRICT)
