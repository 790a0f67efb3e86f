"""Serving an ASGI application over HTTP/1.1 and TLS: uvicorn's httptools protocol, our own listener.

Two things that uvicorn leaves out are added to the scope: the client's verified certificate, and, for
requests with `Connection: Upgrade`, a `Hijack` that hands the raw connection to the application (WebSocket,
SPDY, anything). uvicorn's own server is not used: it wakes up ten times a second and captures signals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from kplane.api.clock import Entropy
from kplane.runtime.process import Fatal
from kplane.runtime.responses import Exchange, Joined
from kplane.runtime.tls import ReloadingTls, TlsFiles

if TYPE_CHECKING:
    from kplane.runtime.authorities import Held

Scope = MutableMapping[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServingConfig:
    """Where to listen. Port 0 takes any free port; without a certificate the server speaks plain HTTP."""

    address: str
    port: int
    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | Held | None = None
    """Whose client certificates are let through; clients without any are, too."""
    further_client_ca_file: Path | None = None
    """Authorities whose client certificates are let through as well (a front proxy's)."""
    require_client_cert: bool = False
    also: Sequence[str] = ()
    """Further addresses to listen on, at the same port."""
    grace_seconds: float = 1.0
    """How long running requests may take to end when the server closes; then they are cancelled."""
    head_seconds: float = 32.0
    """How long a client may take to send the head of a request; upstream's `ReadHeaderTimeout`."""
    idle_seconds: float = 90.0
    """How long a connection stays open without a request."""


def peer_certificate(scope: Scope) -> bytes | None:
    """The client's certificate (DER), verified against the client CA; None if it sent none."""
    tls = scope.get("extensions", {}).get("tls")
    certificate: bytes | None = tls["client_cert"] if tls else None
    return certificate


def hijack(scope: Scope) -> Hijack | None:
    """The raw connection of a request that asks for an upgrade; None for every other request."""
    found: Hijack | None = scope.get("extensions", {}).get("hijack")
    return found


class Hijack:
    """A connection that can be taken out of HTTP. An application that does not take it answers as usual."""

    def __init__(self, protocol: _Protocol) -> None:
        self._protocol = protocol
        self._early = bytearray()
        self._reader: asyncio.StreamReader | None = None

    def feed(self, data: bytes) -> None:
        """Bytes that arrived behind the request head."""
        self._early += data

    async def take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The raw connection; nothing has been written on it, and closing it is the caller's business."""
        return self._protocol.release(bytes(self._early))


MAX_HEAD = 1 << 20
"""Bytes that the head of a request may have, as in Go."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\n\r\n431 Request Header Fields Too Large"
)


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with the two additions, bounds of size and time for the heads of requests, responses
    in one piece, and a Date header that is made when it is needed."""

    head_seconds, idle_seconds = ServingConfig.head_seconds, ServingConfig.idle_seconds
    _tls: dict[str, bytes | None] | None = None
    _hijack: Hijack | None = None
    _date_expires = 0.0
    _in_head = True
    """Whether the head of a request is awaited, or not complete."""
    _head = 0
    """Bytes of it so far."""
    _patience: asyncio.TimerHandle | None = None
    """Ends the connection if the head is not complete in time; most heads come at once and need none."""
    _idle_since: float | None = None
    """When the last response ended; None while there is a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._joined = Joined(transport, self.loop)
        self._patience = self.loop.call_later(self.head_seconds, transport.close)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._tls = {"client_cert": secured.getpeercert(binary_form=True)}

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()
        extensions: dict[str, Any] = {"tls": self._tls} if self._tls else {}
        self.scope["extensions"] = extensions
        now = self.loop.time()
        if now >= self._date_expires:
            self._date_expires = now + 1
            self.server_state.default_headers[:] = [(b"date", formatdate(usegmt=True).encode())]

    def on_headers_complete(self) -> None:
        self._in_head, self._head = False, 0
        self._stop_waiting()
        upgrade = self.parser.should_upgrade() and self._get_upgrade() is not None
        if upgrade:
            self._hijack = Hijack(self)
            extensions: Any = self.scope["extensions"]
            extensions["hijack"] = self._hijack
        version = self.parser.get_http_version()
        self._complete_scope(version)
        before, self.cycle = self.cycle, self._make_cycle()
        # The parser stops behind an upgrade request: this connection carries no other.
        self.cycle.keep_alive = version != "1.0" and not upgrade and self.parser.should_keep_alive()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _complete_scope(self, version: str) -> None:
        url, scope = httptools.parse_url(self.url), self.scope
        path = url.path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""

    def _make_cycle(self) -> Exchange:
        return Exchange(
            scope=self.scope,
            transport=self._joined,  # type: ignore[arg-type]
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=True,
            on_response=self.on_response_complete,
        )

    def on_response_complete(self) -> None:
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._expect_more(self.idle_seconds)

    def _expect_more(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Requests leave the timer as it is, so that the connection may not have been idle for so long."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return
        left = self._idle_since + self.idle_seconds - self.loop.time()
        if left > 0:
            self._expect_more(left)
        else:
            super().timeout_keep_alive_handler()

    def data_received(self, data: bytes) -> None:
        if self._hijack is not None:
            self._hijack.feed(data)
            return
        self._idle_since = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgraded:
            if self._hijack is not None:
                self._hijack.feed(data[upgraded.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._in_head:
            self._await_head(len(data))

    def _await_head(self, arrived: int) -> None:
        """A part of a head has arrived. One that never ends must take neither memory nor a connection."""
        self._head += arrived
        if self._head > MAX_HEAD:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self.transport.close)

    def release(self, early: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give the transport away; the request cycle is told that its response is complete."""
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        self.cycle.response_started = self.cycle.response_complete = True
        self.connections.discard(self)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if early:
            reader.feed_data(early)
        self.transport.resume_reading()
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)


def reloading_tls(config: ServingConfig) -> ReloadingTls | None:
    """None without a certificate. Raises Fatal on unreadable files."""
    if config.cert_file is None or config.key_file is None:
        return None
    sources = config.client_ca_file, config.further_client_ca_file
    authorities = [source for source in sources if source is not None]
    return ReloadingTls(TlsFiles(config.cert_file, config.key_file, authorities, config.require_client_cert))


class Serving:
    """An ASGI application behind a socket: `async with Serving(app, config) as server: server.port`."""

    def __init__(self, app: Callable[..., Any], config: ServingConfig) -> None:
        self._config = config
        self._uvicorn = Config(
            app, lifespan="off", log_config=None, access_log=False, proxy_headers=False, server_header=False,
            date_header=False, ws="none",
        )  # fmt: skip
        self._state = ServerState()
        self._tls = reloading_tls(config)
        self._server: asyncio.Server | None = None
        self.port = config.port

    async def __aenter__(self) -> Self:
        self._uvicorn.load()
        loop = asyncio.get_running_loop()
        address, port = self._config.address, self._config.port
        tls = self._tls.context if self._tls is not None else None
        try:
            self._server = await loop.create_server(
                self._protocol, [address, *self._config.also], port, ssl=tls, backlog=2048
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise Fatal(
                f"cannot listen on {address}:{port}: {reason}; stop what uses the port or choose another"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=self._config.grace_seconds)
        left = list(self._state.tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _protocol(self) -> asyncio.Protocol:
        protocol = _Protocol(self._uvicorn, self._state, {})
        protocol.head_seconds, protocol.idle_seconds = self._config.head_seconds, self._config.idle_seconds
        return protocol


LISTENING_PORTS = range(15_000, 30_000)
"""Below the ports that the kernel gives to outgoing connections and those of NodePorts: a port chosen here is
not taken by a client before its server binds it."""


_claims: list[socket.socket] = []
"""One for each port that this process was given, held until it ends."""


def free_port(address: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, for programs that cannot bind port 0 themselves. None is given
    twice, in all processes of this network namespace, while the first who got it lives."""
    entropy = Entropy()
    while True:
        port = entropy.choice(LISTENING_PORTS)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with socket.socket() as probe, contextlib.suppress(OSError):  # taken: try another
            # A name that is no file: it goes with the process.
            claim.bind(f"\0kplane-port-{port}")
            probe.bind((address, port))
            _claims.append(claim)
            return port
        claim.close()
