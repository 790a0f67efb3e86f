"""WATCH: events as lines of JSON, or frames of protobuf, for as long as client, server and time allow.

Each watch is one request task and one small task beside it that notices the end: the client hangs up, or the
time is over. Ending the watcher ends the request; nothing is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, Expired
from kplane.api.resource import Object

from ..registry.generic import Registry
from ..storage.events import Event, Item, frame
from ..storage.store import Compacted
from ..storage.watcher import Overrun, Watcher
from . import binary, revisions
from .call import Call
from .converted import ConvertedFields, ConvertedWatch
from .lists import CHUNK
from .negotiation import JSON, PROTOBUF, not_acceptable
from .requestinfo import is_true
from .selection import converted_fields, selection_of
from .transforms import Form

MIN_TIMEOUT = 1800.0
"""Watches whose client names no timeout last this long, up to twice; upstream's `--min-request-timeout`."""
BOOKMARK_SECONDS = 60.0
BOOKMARK_LEAD = 2.0
"""A last bookmark goes out so long before the end, so that the client resumes from there."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True)
class Framing:
    """How the events of a stream are told apart."""

    content_type: str
    frame: Callable[[str, Object], bytes]
    """Of an event's type and object."""


JSON_LINES = Framing(JSON, lambda kind, obj: frame(kind, msgspec.json.encode(obj)))
BINARY_FRAMES = Framing(f"{PROTOBUF};stream=watch", binary.frame)
_FRAMINGS = {JSON: JSON_LINES, PROTOBUF: BINARY_FRAMES}


async def watch_response(
    call: Call, registry: Registry, form: Form | None, clock: Clock, entropy: Entropy
) -> Response:
    """Raises BadRequest, Invalid, Timeout; history that is gone is told in the stream, as upstream does."""
    framing = _FRAMINGS.get(call.output().media_type)
    if framing is None:
        offered = (JSON, PROTOBUF) if call.binary else (JSON,)
        raise not_acceptable(*(f"{media_type};stream=watch" for media_type in offered))
    revisions.check_numbers(call)
    revisions.check_watch(call)
    selection, converted = selection_of(call, registry), converted_fields(call, registry)
    revision = revisions.parse_revision(call.query("resourceVersion"))
    # One that is over before it begins is served, and ends at once.
    seconds = revisions.parse_number(call, "timeoutSeconds") or MIN_TIMEOUT * entropy.uniform(1, 2)
    initial = revisions.wants_initial_events(call, revision)
    try:
        if revision and not initial:
            watcher = await registry.cache.watch(selection, after=revision)
        else:
            watcher = await registry.cache.watch(selection, at_least=revision)
        narrowed = await _narrowed(converted, registry, watcher, revision) if converted else None
    except Compacted as error:
        return _Refusal(Expired(f"too old resource version: {revision} ({error.oldest})"), framing)
    stream = _Stream(call, registry, watcher, Shown(form, framing), clock, seconds)
    stream.narrowed = narrowed
    there = narrowed.initial if narrowed else watcher.initial
    if initial:
        stream.begin_with(there)
    return stream


async def _narrowed(
    converted: ConvertedFields, registry: Registry, watcher: Watcher, revision: int | None
) -> ConvertedWatch:
    """Which objects a watch has shown: those it begins with, or that were there at the revision from which it
    goes on. Closes the watcher where that cannot be told."""
    with ExitStack() as undo:
        undo.callback(watcher.close)
        there = watcher.initial
        if revision and not there:
            there = (await registry.cache.list(watcher.selection, exact=revision)).items
        narrowed = await converted.watch(there)
        undo.pop_all()
    return narrowed


def _bookmark(registry: Registry, revision: int, *, initial_end: bool = False) -> Object:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    row = registry.info
    return {"kind": row.kind, "apiVersion": row.api_version, "metadata": metadata}


class _Refusal(Response):
    """A watch that consists of one ERROR event."""

    def __init__(self, error: ApiError, framing: Framing) -> None:
        super().__init__(framing.frame("ERROR", error.status()), media_type=framing.content_type)


@dataclass(frozen=True)
class Shown:
    """What a watch's client wants to see of objects."""

    form: Form | None
    framing: Framing

    @property
    def as_stored(self) -> bool:
        """Whether the bytes of the cache are what is sent."""
        return self.form is None and self.framing is JSON_LINES

    def event(self, kind: str, obj: Object) -> bytes:
        return self.framing.frame(kind, self.form.event(obj) if self.form else obj)

    def bookmark(self, obj: Object) -> bytes:
        return self.framing.frame("BOOKMARK", self.form.bookmark(obj) if self.form else obj)

    def error(self, error: ApiError) -> bytes:
        return self.framing.frame("ERROR", error.status())


class _Stream(Response):
    """The events of one watcher, which it owns and closes."""

    def __init__(
        self,
        call: Call,
        registry: Registry,
        watcher: Watcher,
        shown: Shown,
        clock: Clock,
        seconds: float,
    ) -> None:
        self.status_code = 200
        self._registry = registry
        self._watcher = watcher
        self._shown = shown
        self._clock = clock
        self._seconds = seconds
        self._initial: Sequence[Item] = ()
        self._bookmarks = is_true(call.info.query.get("allowWatchBookmarks"))
        self._marks_end = False
        self._initialised = call.initialised
        self.narrowed: ConvertedWatch | None = None
        """Says what the watcher's events mean, where that takes a conversion."""

    def begin_with(self, items: Sequence[Item]) -> None:
        """Send these first and then, to clients that want bookmarks, one that says that this was all. As
        upstream, that is so as well where what exists was asked for by naming no revision."""
        self._initial = items
        self._marks_end = self._bookmarks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watcher:
            headers = [(b"content-type", self._shown.framing.content_type.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._until_hangup(receive)),
                    tasks.create_task(self._keep_time(send)),
                ]
                try:
                    await self._send_events(send)
                finally:
                    for task in beside:
                        task.cancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        try:
            await self._send_initial(send)
            self._initialised()
            async for batch in self._watcher:
                told = await self.narrowed.seen(batch) if self.narrowed else batch
                if told:
                    await _write(send, await self._join(told))
        except Overrun:
            # The client sees the stream end and resumes from its last revision, or lists again.
            return
        except ApiError as error:
            # An object that cannot be converted: a watch must not leave out what it cannot show.
            await _write(send, self._shown.error(error))

    async def _send_initial(self, send: Send) -> None:
        for start in range(0, len(self._initial), CHUNK):
            part = self._initial[start : start + CHUNK]
            await _write(send, await self._frames([("ADDED", item.wire) for item in part]))
        if self._marks_end:
            await self._send_bookmark(send, initial_end=True)
        self._initial = ()

    async def _join(self, batch: Sequence[Event]) -> bytes:
        if self._shown.as_stored and all(self._registry.is_served(event.item.wire) for event in batch):
            return b"".join([event.frame for event in batch])
        return await self._frames([(event.type, event.item.wire) for event in batch])

    async def _frames(self, events: Sequence[tuple[str, bytes]]) -> bytes:
        shown, registry = self._shown, self._registry
        if shown.as_stored and all(registry.is_served(wire) for _, wire in events):
            return b"".join([frame(kind, wire) for kind, wire in events])
        objects = await registry.objects([wire for _, wire in events])
        return b"".join([shown.event(kind, obj) for (kind, _), obj in zip(events, objects, strict=True)])

    async def _until_hangup(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher.close()

    async def _keep_time(self, send: Send) -> None:
        """Bookmarks now and then, one shortly before the end, and the end."""
        left = self._seconds
        while left > BOOKMARK_LEAD:
            pause = min(BOOKMARK_SECONDS, left - BOOKMARK_LEAD)
            await self._clock.sleep(pause)
            left -= pause
            if self._bookmarks:
                await self._send_bookmark(send)
        await self._clock.sleep(left)
        self._watcher.close()

    async def _send_bookmark(self, send: Send, *, initial_end: bool = False) -> None:
        obj = _bookmark(self._registry, self._watcher.revision, initial_end=initial_end)
        await _write(send, self._shown.bookmark(obj))


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
