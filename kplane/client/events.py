"""The event recorder: tells people what happened to an object, without ever blocking or failing its caller.

Repeats are folded into one Event whose `count` and `lastTimestamp` grow (client-go's correlator: same
object, reason, message, within 10 minutes; a burst of 25 per object, then one per 5 minutes); the rules are
in `correlator.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.errors import (
    AlreadyExists,
    ApiError,
    NotFound,
    ServerTimeout,
    Timeout,
    TooManyRequests,
    Unreachable,
)
from kplane.api.resource import Object, resource_of
from kplane.api.types.core import Event
from kplane.client.correlator import Correlator, Seen
from kplane.client.rest import Client, PatchType

log = logging.getLogger(__name__)

MAX_WAITING = 1000
MAX_TRIES = 12
RETRY_SECONDS = 10.0

_EVENTS = resource_of(Event)


@dataclass(slots=True)
class Pending:
    """An Event on its way to the server."""

    body: Object
    record: Seen
    count: int

    def whole(self) -> Object:
        """The Event as it should be on the server."""
        metadata = self.body["metadata"] | {"name": self.record.name}
        return self.body | {"metadata": metadata, "firstTimestamp": self.record.first, "count": self.count}

    def growth(self) -> Object:
        """The patch for an Event that is there already."""
        return {
            "count": self.count,
            "lastTimestamp": self.body["lastTimestamp"],
            "message": self.body["message"],
        }


class EventRecorder:
    """`component` and `host` become the Event's source; `run` sends what was recorded."""

    def __init__(
        self, client: Client, component: str, *, clock: Clock, entropy: Entropy, host: str = ""
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._entropy = entropy
        self._correlator = Correlator()
        self._waiting: deque[Pending] = deque(maxlen=MAX_WAITING)
        self._filled = asyncio.Event()
        self._last_stamp = 0

    def event(
        self,
        about: Any,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field_path: str = "",
    ) -> None:
        """Record; returns at once. `about` is a view (its class tells kind and apiVersion) or an object
        reference as a dict (kind, apiVersion, namespace, name, uid)."""
        reference = reference_to(about, field_path)
        body = self._body(reference, kind, reason, message)
        record = self._correlator.correlate(body, self._clock.monotonic())
        if record is not None:
            self._waiting.append(Pending(body, record, record.count))
            self._filled.set()

    async def run(self) -> None:
        """Send until cancelled. Events beyond 1,000 waiting are dropped, oldest first."""
        while True:
            await self.flush()
            self._filled.clear()
            await self._filled.wait()

    async def flush(self) -> None:
        """Send what waits now (tests, shutdown)."""
        for pending in self.take():
            await self._deliver(pending)

    def take(self) -> Iterator[Pending]:
        """Take what waits, one after the other."""
        while self._waiting:
            yield self._waiting.popleft()

    async def _deliver(self, pending: Pending) -> None:
        for attempt in range(MAX_TRIES):
            if attempt:
                await self._clock.sleep(RETRY_SECONDS * self._entropy.uniform(0.5, 1))
            try:
                await self._send(pending)
            except (Unreachable, Timeout, ServerTimeout, TooManyRequests) as error:
                log.debug("event not sent yet reason=%s why=%s", pending.body["reason"], error)
            except ApiError as error:
                # Such as Forbidden in a namespace that is being deleted: an event is not worth a failure.
                log.info("event refused reason=%s why=%s", pending.body["reason"], error)
                return
            else:
                return
        log.warning("event dropped reason=%s tries=%d", pending.body["reason"], MAX_TRIES)

    async def _send(self, pending: Pending) -> None:
        record, metadata = pending.record, pending.body["metadata"]
        if record.created:
            try:
                await self._client.patch(
                    _EVENTS, record.name, metadata["namespace"], pending.growth(), kind=PatchType.STRATEGIC
                )
            except NotFound:
                # It has expired on the server: begin a new one.
                record.name, record.first = metadata["name"], pending.body["firstTimestamp"]
                record.count = pending.count = 1
            else:
                return
        # AlreadyExists: an earlier attempt got through, but its answer was lost.
        with suppress(AlreadyExists):
            await self._client.create(_EVENTS, pending.whole())
        record.created = True

    def _stamp(self, now: datetime) -> int:
        """The time in nanoseconds, and never the same twice: it makes the Event's name unique."""
        self._last_stamp = max(round(now.timestamp() * 1_000_000) * 1000, self._last_stamp + 1)
        return self._last_stamp

    def _body(self, reference: Object, kind: str, reason: str, message: str) -> Object:
        now = self._clock.now()
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": f"{reference['name']}.{self._stamp(now):x}",
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def reference_to(about: Any, field_path: str = "") -> Object:
    """The object reference of a view or of a reference-like dict."""
    if isinstance(about, dict):
        reference = dict(about)
    else:
        resource = resource_of(type(about))
        metadata = about.metadata
        reference = {
            "kind": resource.kind,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
            "apiVersion": resource.api_version,
            "resourceVersion": metadata.resource_version,
        }
    if field_path:
        reference["fieldPath"] = field_path
    return {name: value for name, value in reference.items() if value}
