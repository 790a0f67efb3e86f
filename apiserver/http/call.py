"""One request on its way through the server: what was asked, by whom, and what the answer must also carry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kplane.api.errors import RequestEntityTooLarge

from ..admission.chain import unrecorded
from ..audit.recording import Recording
from ..auth.user import User
from .deadlines import Deadline
from .negotiation import Output, output_of
from .requestinfo import RequestInfo, parses_true
from .warnings import Warnings

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY = 3 * 1024 * 1024
_KEY = "kplane.call"


def idle() -> None:
    """Does nothing."""


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody is left to answer."""


@dataclass(slots=True)
class Call:
    """`headers` has lower-case names; `user` is known once the request was authenticated."""

    scope: Scope
    receive: Receive
    info: RequestInfo
    headers: dict[bytes, bytes]
    user: User
    warnings: Warnings = field(default_factory=Warnings)
    deadline: Deadline | None = None
    """When the boundary gives up on the request."""
    audit: Recording | None = None
    """What the audit log will hold of the request; None where it holds nothing."""
    annotate: Callable[[str, str], None] = unrecorded
    """Adds an annotation to the audit event: key and value."""

    response_headers: tuple[tuple[bytes, bytes], ...] = ()
    """What the answer must also carry: which flow the request belongs to."""
    binary: bool = False
    """Whether the objects that the request is about have a form in protobuf."""
    waited: float = 0.0
    """Seconds that it stood in a queue."""
    initialised: Callable[[], None] = idle
    """To be called by a watch that has sent what is there: it costs little from then on."""

    def outlive_deadline(self) -> None:
        """The connection left HTTP: it lasts for as long as both sides want it."""
        if self.deadline is not None:
            self.deadline.lift()

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")

    def query(self, name: str) -> str:
        return self.info.query.get(name, "")

    @property
    def pretty(self) -> bool:
        """Whether JSON is to be indented: asked for, or read by a person with curl or a browser."""
        asked = self.info.query.get("pretty")
        if asked:
            return parses_true(asked)
        return self.headers.get(b"user-agent", b"").startswith((b"curl", b"Wget", b"Mozilla/5.0"))

    def output(self, *, convertible: bool = True) -> Output:
        """The form of the answer. Raises NotAcceptable."""
        return output_of(self.header(b"accept"), convertible=convertible, binary=self.binary)

    def warn(self, text: str) -> None:
        """Add a `Warning:` header to the response."""
        self.warnings.add(text)

    async def body(self) -> bytes:
        """The whole body. Raises RequestEntityTooLarge, and ClientGone where it never became complete."""
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > MAX_BODY:
            raise too_large()
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if not message.get("more_body") and len(body) <= MAX_BODY:
            return body
        return await self._rest_of_body(body)

    async def _rest_of_body(self, first: bytes) -> bytes:
        body, more = bytearray(first), True
        while more and len(body) <= MAX_BODY:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise too_large()
        return bytes(body)


def too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY}")


def attach(scope: Scope, call: Call) -> None:
    scope[_KEY] = call


def detach(scope: Scope) -> None:
    """The request is over. Each would refer to the other, which only the cycle collector could undo."""
    del scope[_KEY]


def call_of(scope: Scope) -> Call:
    """The Call that the boundary attached to this scope."""
    call: Call = scope[_KEY]
    return call
