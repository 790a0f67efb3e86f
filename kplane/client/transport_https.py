"""The HTTPS transport: a pool of kept-alive connections to one server.

Owns the sockets and the TLS context, which is built from bytes: keys pass through a file only for the moment
in which OpenSSL reads them. A client certificate that came from files follows them. Proxy variables of the
environment are ignored. Every failure to get an answer becomes `Unreachable` here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from kplane.api.clock import Clock, SystemClock
from kplane.api.errors import Unreachable
from kplane.client.kubeconfig import ConfigError, Credentials
from kplane.client.tls import tls_context
from kplane.client.transport import Response, split_lines, target

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 65.0
"""Seconds for a whole request; the server gives up on one of its own accord after 60."""

TOKEN_REREAD = 60.0
"""Seconds after which a token file is read again, as client-go does: tokens are rotated in place."""

CERTIFICATE_REREAD = 5.0
"""Seconds after which the files of a client certificate are looked at again."""

KEEPALIVE = 60.0
"""Seconds that an idle connection is kept; the server's own limit is longer, so that it is never first."""

MOST_REQUESTS = 64
"""How many requests are under way at once; more wait. A controller that creates 1,000 Pods in one go would
otherwise open 500 connections, whose handshakes and buffers cost more than the requests."""

_FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


class HttpsStream:
    """A response whose body is still arriving."""

    def __init__(self, response: aiohttp.ClientResponse, server: str) -> None:
        self._response = response
        self._server = server
        self.status = response.status
        self.headers: Mapping[str, str] = lower(response.headers)

    def lines(self) -> AsyncIterator[bytes]:
        return split_lines(self.chunks())

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except _FAILURES as error:
            raise unreachable(self._server, error) from error


class HttpsTransport:
    """Create it anywhere, use it on one event loop. Plain http:// servers work too (tests, kubectl proxy)."""

    def __init__(self, credentials: Credentials, clock: Clock | None = None) -> None:
        self._credentials = credentials
        self._clock = clock or SystemClock()
        self._server = credentials.server.rstrip("/")
        self._tls = tls_context(credentials) if self._server.startswith("https:") else None
        self._stamp = _stamp(credentials)
        self._looked = float("-inf")
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(MOST_REQUESTS)
        self._token = credentials.token
        self._token_read = float("-inf")

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        limit = aiohttp.ClientTimeout(total=timeout or REQUEST_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
        try:
            async with self._places, self._send(method, path, query, headers, body, limit) as response:
                return Response(response.status, lower(response.headers), await response.read())
        except _FAILURES as error:
            raise unreachable(self._server, error) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[HttpsStream]:
        # No limit on reading: a watch may be silent for minutes. A peer that vanished is found by TCP
        # keep-alive.
        limit = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        context = self._send(method, path, query, headers, b"", limit)
        try:
            response = await context.__aenter__()
        except _FAILURES as error:
            raise unreachable(self._server, error) from error
        try:
            yield HttpsStream(response, self._server)
        finally:
            response.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes,
        limit: aiohttp.ClientTimeout,
    ) -> Any:
        if self._session is None:
            self._session = self._open_session()
        sent = dict(headers or {})
        if token := self._bearer():
            sent["Authorization"] = f"Bearer {token}"
        return self._session.request(
            method,
            URL(self._server + target(path, query), encoded=True),
            headers=sent,
            data=body or None,
            timeout=limit,
            ssl=self._current_tls() or True,
            server_hostname=self._credentials.tls_server_name or None,
            allow_redirects=False,
        )

    def _open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True,
            limit=0,
            keepalive_timeout=KEEPALIVE,
            socket_factory=_keepalive_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            skip_auto_headers=("Accept-Encoding", "Content-Type", "User-Agent"),
        )

    def _current_tls(self) -> ssl.SSLContext | None:
        """The TLS settings for new connections. After the client's certificate was renewed, connections made
        with the former one are used no more, and close when what goes over them has ended."""
        credentials, now = self._credentials, self._clock.monotonic()
        if self._tls is None or self._stamp is None or now - self._looked < CERTIFICATE_REREAD:
            return self._tls
        self._looked = now
        stamp = _stamp(credentials)
        if stamp is None or stamp == self._stamp:
            return self._tls
        try:
            self._tls = tls_context(_read_again(credentials))
        except (OSError, ConfigError) as error:
            # The files may be in the middle of a renewal; what was read before stays in use.
            log.warning(
                "client certificate not reloaded path=%s error=%s", credentials.certificate_file, error
            )
        else:
            self._stamp = stamp
        return self._tls

    def _bearer(self) -> str:
        path = self._credentials.token_file
        if path is None:
            return self._token
        now = self._clock.monotonic()
        if now - self._token_read >= TOKEN_REREAD:
            try:
                self._token = path.read_text().strip()
            except OSError as error:
                # A token that could be read before stays in use: the file may be in the middle of a rotation.
                if not self._token:
                    raise Unreachable(f"cannot read the token file {path}: {error.strerror}") from error
            self._token_read = now
        return self._token


def _stamp(credentials: Credentials) -> tuple[tuple[int, int], ...] | None:
    """Differs when one of the certificate's files was replaced; None where it has none, or they are away."""
    paths = (credentials.certificate_file, credentials.key_file)
    if None in paths:
        return None
    try:
        return tuple((found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in paths if path))
    except OSError:
        return None


def _read_again(credentials: Credentials) -> Credentials:
    """Raises OSError."""
    certificate, key = credentials.certificate_file, credentials.key_file
    assert certificate is not None and key is not None  # noqa: PT018
    return replace(credentials, certificate=certificate.read_bytes(), key=key.read_bytes())


def unreachable(server: str, error: BaseException) -> Unreachable:
    text = "the request timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return Unreachable(f"no answer from {server}: {text}")


def lower(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _keepalive_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
