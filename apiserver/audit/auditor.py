"""The auditor: decides with the policy what of a request is recorded, and sends its events to the backends.

    begin -> (the response of a long-running request starts) -> finish

Source: apiserver `pkg/endpoints/filters/audit.go`, `authn_audit.go`.

Invariant: an event that was made reaches every backend's buffer before the request goes on, and what is in a
buffer when the server closes is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kplane.api.clock import Clock, rfc3339_micro
from kplane.api.errors import InternalError

from ..auth.authorizer import attributes_of
from ..auth.identity import Notes
from ..auth.user import ANONYMOUS
from ..storage.background import Background
from . import latency
from .event import VERSION, Event, ObjectReference, ResponseStatus, UserInfo, info_of
from .latency import AUTHENTICATION, Latencies
from .metrics import AuditMetrics
from .policy import Level, Policy, Stage
from .recording import Recording
from .sinks import Sink

if TYPE_CHECKING:
    from ..http.call import Call

LONGEST_AGENT = 1024
_NO_USER = UserInfo()


class Auditor:
    """Opened before the first request, closed after the last."""

    def __init__(self, policy: Policy, sinks: Sequence[Sink], metrics: AuditMetrics, clock: Clock) -> None:
        self._policy = policy
        self._sinks = sinks
        self._metrics = metrics
        self._clock = clock
        self._background = Background()

    async def open(self) -> None:
        """Raises Fatal for a log that cannot be written."""
        await self._background.open()
        for sink in self._sinks:
            await sink.open(self._background)

    async def close(self) -> None:
        """Write what is buffered."""
        for sink in self._sinks:
            await sink.close()
        await self._background.close()

    async def begin(
        self, call: Call, audit_id: str, notes: Notes, authenticated: float, *, long_running: bool
    ) -> None:
        """A request whose user is known, which took `authenticated` seconds; `notes`: annotations about its
        credentials. Raises InternalError where it must be refused because it cannot be recorded."""
        recording = self._record(call, audit_id, authenticated, long_running=long_running)
        if recording is None:
            return
        call.audit = recording
        recording.latencies.add(AUTHENTICATION, authenticated)
        latency.count(recording.latencies)
        call.annotate = recording.annotate
        for note in notes:
            recording.annotate(*note)
        if not await self._send(recording, Stage.REQUEST_RECEIVED):
            self._metrics.rejected()
            raise InternalError("Internal error occurred: failed to store audit event")

    def refused(self, call: Call, audit_id: str, notes: Notes) -> None:
        """A request whose credentials are no good: it has one event, with the answer."""
        recording = self._record(call, audit_id, 0.0, long_running=False, refused=True)
        if recording is not None:
            recording.event.response_status = ResponseStatus({}, message=_attempted(call))
            for note in notes:
                recording.annotate(*note)
            call.audit = recording

    async def _started(self, recording: Recording) -> None:
        await self._send(recording, Stage.RESPONSE_STARTED)

    async def finish(self, recording: Recording) -> None:
        latency.count(None)
        if recording.refused:
            return
        if recording.panic:
            recording.panicked()
            await self._send(recording, Stage.PANIC)
            return
        early = not recording.started
        recording.complete()
        if early and recording.long_running:
            await self._send(recording, Stage.RESPONSE_STARTED)
        await self._send(recording, Stage.RESPONSE_COMPLETE)

    def _record(
        self, call: Call, audit_id: str, age: float, *, long_running: bool, refused: bool = False
    ) -> Recording | None:
        """None: the policy wants nothing of it. `age`: seconds since the request came."""
        attributes = attributes_of(ANONYMOUS if refused else call.user, call.info)
        rule = self._policy.rule_for(attributes, anybody=refused)
        self._metrics.judged(rule.level)
        if rule.level is Level.NONE:
            return None
        info, agent = call.info, call.header(b"user-agent")
        if len(agent) > LONGEST_AGENT:
            agent = f"{agent[:LONGEST_AGENT]}...TRUNCATED"
        event = Event(
            kind="Event",
            api_version=VERSION,
            level=rule.level.label,
            audit_id=audit_id,
            stage=Stage.REQUEST_RECEIVED,
            request_uri=_uri(call),
            verb=attributes.verb,
            user=_NO_USER if refused else info_of(call.user),
            source_ips=source_addresses(call),
            user_agent=agent,
            request_received_timestamp=rfc3339_micro(self._clock.now()),
        )
        if attributes.is_resource:
            event.object_ref = ObjectReference(
                info.resource,
                info.namespace,
                attributes.name,
                api_group=info.group,
                api_version=info.version,
                subresource=info.subresource,
            )
        latencies = Latencies(self._clock.monotonic, self._clock.monotonic() - age)
        return Recording(event, rule, self._started, latencies, long_running=long_running, refused=refused)

    async def _send(self, recording: Recording, stage: Stage) -> bool:
        """Whether every backend took it."""
        if recording.omits(stage):
            return True
        self._metrics.made()
        received = stage is Stage.REQUEST_RECEIVED
        event = recording.event
        event = event.at(
            stage, event.request_received_timestamp if received else rfc3339_micro(self._clock.now())
        )
        taken = [await sink.take(event) for sink in self._sinks]
        return all(taken)


def _uri(call: Call) -> str:
    query = call.scope["query_string"].decode("latin-1")
    return f"{call.info.path}?{query}" if query else call.info.path


def source_addresses(call: Call) -> tuple[str, ...]:
    """Where the request came from: as proxies say, and last the address that it really came from."""
    found: list[str] = []
    for text in call.header(b"x-forwarded-for").split(","):
        if address := _address(text.strip()):
            found.append(address)
    real = _address(call.header(b"x-real-ip"))
    if real and real not in found:
        found.append(real)
    client = call.scope.get("client")
    remote = _address(client[0]) if client else ""
    if remote and found[-1:] != [remote]:
        found.append(remote)
    return tuple(found)


def _address(text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        return ""


def _attempted(call: Call) -> str:
    """Which kinds of credentials the request brought; never what they are."""
    scheme, _, rest = call.header(b"authorization").strip().partition(" ")
    kinds = [scheme.lower()] if scheme.lower() in ("basic", "bearer") and rest else []
    if call.query("access_token").strip():
        kinds.append("access_token")
    if ((call.scope.get("extensions") or {}).get("tls") or {}).get("client_cert"):
        kinds.append("x509")
    if not kinds:
        return "Authentication failed, no credentials provided"
    return f"Authentication failed, attempted: {', '.join(kinds)}"
