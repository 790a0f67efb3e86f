"""The reverse proxy: one request to a backend, its answer back, both as they come.

Owns the kept-alive connections to backends. A client that hangs up ends its request at the backend; a backend
that breaks off ends the answer. Elsewhere: upgrades (`upgrades.py`), where a request goes (`locations.py`,
`aggregation/`).
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from multidict import CIMultiDict
from yarl import URL

from kplane.api.errors import InternalError, ServiceUnavailable
from kplane.runtime.late import late

from ..http.call import ClientGone, Receive, Scope, Send
from . import pages, upgrades
from .faults import describe, failures
from .headers import Header, asks_for_upgrade, has_body, request_headers, response_headers, value_of
from .rewriting import Rewriter

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")

CONNECT_SECONDS = 30.0
KEEPALIVE = 90.0
"""Seconds that an idle connection is kept."""
MAX_FIELD = 64 * 1024
"""Bytes of one header of an answer."""

_CORS = frozenset(
    b"access-control-allow-" + name for name in (b"credentials", b"headers", b"methods", b"origin")
)
_REDIRECT_REFUSED = b"the backend attempted to redirect this request, which is not permitted"

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """Where one request goes. `url` is complete and escaped; `headers` come on top of the client's, in place
    of those with the same names."""

    url: str
    tls: ssl.SSLContext
    prefix: str = ""
    """The path under which the client sees the backend's root."""
    server_name: str = ""
    """What the backend's certificate must be valid for; empty for the host of the URL."""
    host: str = ""
    """The Host header; empty for the one that the client sent."""
    headers: tuple[Header, ...] = ()
    redirects: bool = True
    """Whether the backend may answer with a redirect."""

    @property
    def address(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


class ReverseProxy:
    """Create it anywhere, use it on one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def forward(self, order: Order, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ServiceUnavailable for a backend that cannot be reached or breaks off, and ClientGone."""
        headers = self._headers(order, scope)
        body = _Body(receive)
        if asks_for_upgrade(scope):
            # Whatever follows its head belongs to the other protocol.
            body.nothing()
            await upgrades.forward(order, headers, scope, lambda work: _unless_gone(work, body))
            return
        await _unless_gone(self._exchange(order, headers, scope, body, send), body)

    def _headers(self, order: Order, scope: Scope) -> list[Header]:
        replaced = {name for name, _ in order.headers}
        sent = request_headers(scope, upgrade=asks_for_upgrade(scope))
        host = order.host.encode() or value_of(scope["headers"], b"host") or order.address.encode()
        return [
            (b"host", host),
            *((name, value) for name, value in sent if name not in replaced),
            *order.headers,
            (b"x-forwarded-uri", _forwarded_uri(order).encode()),
        ]

    async def _exchange(
        self, order: Order, headers: list[Header], scope: Scope, body: _Body, send: Send
    ) -> None:
        data = body.chunks() if has_body(scope) else None
        if data is None:
            body.nothing()
        try:
            async with self._opened().request(
                scope["method"],
                URL(order.url, encoded=True),
                headers=CIMultiDict(
                    (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers
                ),
                data=data,
                ssl=order.tls,
                server_hostname=order.server_name or None,
                allow_redirects=False,
            ) as response:
                await self._answer(order, response, scope, send)
        except failures() as error:
            if body.gone:
                raise ClientGone from error
            fault = describe(error, order.address, order.server_name)
            raise ServiceUnavailable(f"error trying to reach service: {fault}") from error

    async def _answer(self, order: Order, response: aiohttp.ClientResponse, scope: Scope, send: Send) -> None:
        headers = response_headers(response.raw_headers, response.status)
        headers = [(name, value) for name, value in headers if name not in _CORS]
        location = value_of(headers, b"location")
        if location and not order.redirects and 300 <= response.status <= 399:
            await _send_whole(send, 502, _REDIRECT_REFUSED)
            return
        rewriter = Rewriter(
            order.prefix, order.address, value_of(scope["headers"], b"host").decode("latin-1")
        )
        chunks: AsyncIterator[bytes] = response.content.iter_any()
        if location:
            changed = _rewritten_location(rewriter, location)
            headers = [(name, changed if name == b"location" else value) for name, value in headers]
        elif pages.is_rewritten(headers) and scope["method"] != "HEAD":
            chunks = pages.rewritten(chunks, rewriter, headers)
            headers = [(name, value) for name, value in headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        try:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except zlib.error as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error
        await send({"type": "http.response.body", "body": b""})

    def _opened(self) -> aiohttp.ClientSession:
        """Made on first use: it belongs to the event loop that serves."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                auto_decompress=False,
                trust_env=False,
                max_line_size=MAX_FIELD,
                max_field_size=MAX_FIELD,
            )
        return self._session


class _Body:
    """The client's body, and whether the client is there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = asyncio.Event()
        self.gone = False

    def nothing(self) -> None:
        self._read.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        try:
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.gone = True
                    raise ConnectionResetError
                if data := message.get("body"):
                    yield data
                more = message.get("more_body", False)
        finally:
            self._read.set()

    async def disconnected(self) -> None:
        """Return when the client is gone; the body comes first."""
        await self._read.wait()
        while not self.gone:
            self.gone = (await self._receive())["type"] == "http.disconnect"


async def _unless_gone(work: Awaitable[T], body: _Body) -> T:
    """The result of `work`, which is cancelled when the client hangs up. Raises ClientGone then."""
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(body.disconnected())
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        watch.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _send_whole(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _rewritten_location(rewriter: Rewriter, location: bytes) -> bytes:
    try:
        return rewriter.address(location.decode("latin-1")).encode("latin-1")
    except ValueError as error:
        raise InternalError(f"error trying to parse Location header: {error}") from error


def _forwarded_uri(order: Order) -> str:
    """The path that the client asked for, as upstream tells it to the backend."""
    return f"{order.prefix.rstrip('/')}/{order.path.lstrip('/')}"
