"""The in-process transport: calls an ASGI application directly, on the caller's event loop.

Nothing is copied through sockets; bodies stream as they would over HTTP. The application sees a disconnect,
and is cancelled, when the consumer of a stream leaves. An application that fails without an answer is
`Unreachable`, as a crashed server would be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import unquote, urlencode

from kplane.api.errors import Unreachable
from kplane.client.transport import Response, split_lines

Message: TypeAlias = dict[str, Any]
AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

log = logging.getLogger(__name__)

HIGH_WATER = 16
"""Chunks that may wait for a slow consumer before the application has to wait."""


class Exchange:
    """One request and its response. As a context manager: the response's head has arrived inside it."""

    def __init__(self, app: AsgiApp, scope: Message, body: bytes) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(HIGH_WATER)
        self._left = asyncio.Event()
        self._started = asyncio.Event()
        self._failed = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # Not in a TaskGroup: it would wrap what the caller's block raises. The task ends with the block.
        self._task = asyncio.create_task(self._run())
        try:
            await self._started.wait()
        except asyncio.CancelledError:
            await self._stop()
            raise
        if not self.status:
            await self._stop()
            raise Unreachable(f"the application gave no answer to {self._scope['path']}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def lines(self) -> AsyncIterator[bytes]:
        return split_lines(self.chunks())

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk
        if self._failed:
            raise Unreachable(f"the application broke off its answer to {self._scope['path']}")

    async def _stop(self) -> None:
        assert self._task is not None
        self._left.set()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception:  # the request boundary: a server would log it and drop the connection
            log.exception("application failed path=%s", self._scope["path"])
            self._failed = True
        self._failed = self._failed or not self.status
        self._started.set()
        await self._chunks.put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = _joined(message.get("headers", ()))
            self.status = message["status"]
            self._started.set()
        elif message["type"] == "http.response.body" and message.get("body"):
            await self._chunks.put(bytes(message["body"]))


class AsgiTransport:
    """`token` authenticates as it would over HTTPS; so does `certificate` (DER) of a client."""

    def __init__(self, app: AsgiApp, *, token: str = "", certificate: bytes | None = None) -> None:
        self._app = app
        self._token = token
        self._certificate = certificate

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
        try:
            async with (
                asyncio.timeout(timeout),
                Exchange(self._app, self._scope(method, path, query, headers, body), body) as exchange,
            ):
                answer = b"".join([chunk async for chunk in exchange.chunks()])
                return Response(exchange.status, exchange.headers, answer)
        except TimeoutError as error:
            raise Unreachable(f"no answer from the application: {path} timed out") from error

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Exchange]:
        return Exchange(self._app, self._scope(method, path, query, headers, b""), b"")

    async def close(self) -> None:
        """Nothing is held between requests."""

    def _scope(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: bytes,
    ) -> Message:
        sent = {"host": "localhost", **{name.lower(): value for name, value in (headers or {}).items()}}
        if body:
            sent["content-length"] = str(len(body))
        if self._token:
            sent["authorization"] = f"Bearer {self._token}"
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": urlencode(query or {}).encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 0),
            "server": ("localhost", 443),
            "extensions": {"tls": {"client_cert": self._certificate}} if self._certificate else {},
            "state": {},
        }


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """By name; what comes more than once (warnings) in one text, as RFC 9110 has it."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode().lower(), value.decode()
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
