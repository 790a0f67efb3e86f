"""The request boundary: the one middleware around everything else.

It reads what is asked for, finds out who asks and whether they may, limits how many requests run at once,
measures, and turns every failure into a `Status`. No other module writes an error response, and this is the
only one of the server that catches `Exception`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, InternalError, NotAcceptable, Timeout, Unauthorized
from kplane.api.scheme import Scheme
from kplane.runtime.serving import peer_certificate

from ..audit.auditor import Auditor
from ..audit.latency import QUEUE, WRITE
from ..auth.authenticator import Authenticator
from ..auth.authorizationmetrics import AttemptMetrics
from ..auth.authorizer import Authorizer, attributes_of, refusal
from ..auth.identity import Credentials, Notes
from ..auth.impersonation import Impersonation, wanted
from ..auth.user import ANONYMOUS, User
from ..auth.websockettokens import HEADER, without_token
from ..flowcontrol.gate import Gate, NoRoom, Seat
from ..storage.store import StoreError
from .breakdowns import told
from .call import Call, ClientGone, Receive, Scope, Send, attach, detach
from .deadlines import Deadline, Deadlines
from .metrics import RequestMetrics
from .negotiation import PLAIN_JSON, Output
from .output import render
from .requestinfo import RequestInfo, read
from .unrouted import PAGE, UnknownPath

log = logging.getLogger(__name__)

_LONG_RUNNING = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_PANIC = (
    "This request caused apiserver to panic. Look in the logs for details."  # upstream's words, with no cause
)

_TEXT = ((b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff"))


class Boundary:
    """Pure ASGI. `gate` says which requests may run; `timeout` (seconds) spares long-running ones;
    `refuses_strangers`: who is not allowed without credentials is unauthenticated rather than forbidden."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        scheme: Scheme,
        authenticator: Authenticator,
        authorizer: Authorizer,
        attempts: AttemptMetrics,
        metrics: RequestMetrics,
        clock: Clock,
        entropy: Entropy,
        gate: Gate,
        timeout: float,
        refuses_strangers: bool,
        impersonation: Impersonation,
        auditor: Auditor | None = None,
    ) -> None:
        self._app = app
        self._scheme = scheme
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._impersonation = impersonation
        self._attempts = attempts
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._gate = gate
        self._deadlines = Deadlines(timeout)
        self._refuses_strangers = refuses_strangers
        self._auditor = auditor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        info = read(scope["method"], path, scope["query_string"])
        call = Call(scope, receive, info, dict(scope["headers"]), ANONYMOUS)
        attach(scope, call)
        reply = _Reply(send, call, call.header(b"audit-id") or self._entropy.uid())
        began = self._clock.monotonic()
        known = self._scheme.by_path(info.group, info.version, info.resource) is not None
        counted = not _is_long_running(info)
        if info.verb == "watch" and known:
            reply.on_body = lambda body: self._metrics.watched(info, body)
        self._enter(info, known, counted)
        try:
            await self._answer(call, receive, reply)
        finally:
            self._leave(info, known, counted)
            if self._auditor is not None and call.audit is not None:
                await self._auditor.finish(call.audit)
            seconds = self._clock.monotonic() - began
            self._metrics.ended(
                info, known, reply.code, seconds, counted=counted, size=reply.size, waited=call.waited
            )
            if reply.terminated:
                self._metrics.terminated(info, known, reply.code)
            detach(scope)

    def _enter(self, info: RequestInfo, known: bool, counted: bool) -> None:
        if counted:
            self._metrics.started(info)
        else:
            self._metrics.stays(info, known, 1)

    def _leave(self, info: RequestInfo, known: bool, counted: bool) -> None:
        if not counted:
            self._metrics.stays(info, known, -1)

    async def _answer(self, call: Call, receive: Receive, reply: _Reply) -> None:
        seat: Seat | None = None
        try:
            await self._check(call, reply)
            long_running = _is_long_running(call.info)
            seat = self._gate.enter(call, long_running=long_running)
            if seat is not None:
                call.initialised = seat.leave
                if seat.waits:
                    receive = call.receive = await self._wait(seat, call, receive)
            if long_running:
                await self._app(call.scope, receive, reply.send)
            else:
                with Deadline(self._deadlines) as call.deadline:
                    await self._app(call.scope, receive, reply.send)
        except NoRoom as error:
            reply.terminated = True
            await reply.fail(error)
        except ApiError as error:
            await reply.fail(error)
        except ClientGone:
            return
        except TimeoutError:
            reply.terminated = True
            await reply.fail(Timeout("Timeout: request did not complete within the allotted timeout"))
        except StoreError as error:
            log.error("store failed method=%s path=%s error=%s", call.info.method, call.info.path, error)
            await reply.fail(InternalError(f"Internal error occurred: {error}"))
        except Exception as error:  # noqa: BLE001 - it is logged below
            if call.audit is not None:
                call.audit.panic = type(error).__name__
            log.error(
                "request failed method=%s path=%s\n%s",
                call.info.method,
                call.info.path,
                told(error, call.info),
            )
            await reply.fail(InternalError(_PANIC))
        finally:
            if seat is not None:
                seat.end()

    async def _wait(self, seat: Seat, call: Call, receive: Receive) -> Receive:
        began = self._clock.monotonic()
        try:
            return await seat.wait(receive)
        finally:
            call.waited = self._clock.monotonic() - began
            if call.audit is not None:
                call.audit.latencies.add(QUEUE, call.waited)

    async def _check(self, call: Call, reply: _Reply) -> None:
        """Who asks, and may they. Raises Unauthorized, Forbidden."""
        began = self._clock.monotonic()
        user = call.user = await self._authenticate(call, reply)
        if HEADER in call.headers:
            call.scope["headers"] = kept = without_token(call.scope["headers"])
            call.headers = dict(kept)
        if self._auditor is not None:
            took, long_running = self._clock.monotonic() - began, _is_long_running(call.info)
            await self._auditor.begin(call, reply.audit_id, reply.notes, took, long_running=long_running)
        if (asked := wanted(call.scope["headers"])) is not None:
            made = await self._impersonation.impersonated(asked, attributes_of(user, call.info))
            user = call.user = made.user
            if call.audit is not None:
                call.audit.impersonated(user, made.constraint)
        await self._authorize(user, call)

    async def _authorize(self, user: User, call: Call) -> None:
        attributes = attributes_of(user, call.info)
        began = self._clock.monotonic()
        verdict = await self._authorizer.authorize(attributes)
        seconds = self._clock.monotonic() - began
        self._attempts.ended(verdict, seconds)
        if call.audit is not None:
            call.audit.authorized(verdict, seconds)
        if verdict.allowed:
            return
        if verdict.error:
            raise InternalError(f'Internal Server Error: "{call.info.path}": {verdict.error}')
        if user is ANONYMOUS and self._refuses_strangers:
            raise Unauthorized
        raise refusal(attributes, verdict.reason)

    async def _authenticate(self, call: Call, reply: _Reply) -> User:
        certificate, headers = peer_certificate(call.scope), call.scope["headers"]
        try:
            return await self._authenticator.authenticate(
                Credentials(certificate, headers, call.info.path, call.warn, reply.note)
            )
        except Unauthorized:
            if self._auditor is not None:
                self._auditor.refused(call, reply.audit_id, reply.notes)
            raise


def _is_long_running(info: RequestInfo) -> bool:
    return info.verb == "watch" or info.subresource in _LONG_RUNNING


class _Reply:
    """The response on its way out: adds what every response carries, and remembers the status code."""

    def __init__(self, send: Send, call: Call, audit_id: str) -> None:
        self._send = send
        self._call = call
        self.audit_id = audit_id
        self.code = 0
        self.size = 0
        """Bytes of the body so far."""
        self.terminated = False
        """Whether the server gave up on the request."""
        self.notes: Notes = ()
        """What the audit log is to hold of the request's credentials."""
        self.on_body: Callable[[bytes], None] | None = None
        """Is shown each part of the body."""

    def note(self, key: str, value: str) -> None:
        self.notes = (*self.notes, (key, value))

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            headers = message["headers"]
            headers.append((b"audit-id", self.audit_id.encode("latin-1")))
            if b"cache-control" not in dict(headers):
                headers.append((b"cache-control", b"no-cache, private"))
            headers += self._call.response_headers
            if self._call.warnings:
                headers += [(b"warning", text) for text in self._call.warnings.headers()]
            if (audit := self._call.audit) is not None:
                media_type = next((value for name, value in headers if name == b"content-type"), b"")
                await audit.responds(self.code, media_type)
        elif body := message.get("body"):
            self.size += len(body)
            if self.on_body is not None:
                self.on_body(body)
            if (audit := self._call.audit) is not None:
                audit.body(body)
                with audit.latencies.timing(WRITE):
                    await self._send(message)
                return
        await self._send(message)

    async def fail(self, error: ApiError) -> None:
        """Answer with a Status; too late for that if the response has begun, then the stream just ends."""
        if self.code:
            log.warning("response broken off path=%s reason=%s", self._call.info.path, error.reason)
            raise ConnectionAbortedError(error.message) from error
        headers = [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]
        if isinstance(error, (UnknownPath, NoRoom)):
            body = PAGE if isinstance(error, UnknownPath) else error.message.encode() + b"\n"
            headers += _TEXT
        else:
            output = self._output()
            body = render(self._call, error.status(), output)
            headers.append((b"content-type", output.media_type.encode()))
        headers.append((b"content-length", b"%d" % len(body)))
        await self.send({"type": "http.response.start", "status": error.http_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _output(self) -> Output:
        """The form of a failure: what the client accepts, if it can be had."""
        try:
            return self._call.output(convertible=False)
        except NotAcceptable:
            return PLAIN_JSON
