"""Requests for groups and versions of other servers: sent on, with the client's identity and our certificate.

Sits behind the boundary, in front of every route. Errors are plain text, as the aggregator's are upstream.
"""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp

from kplane.api.errors import ApiError

from ..auth.user import User
from ..http.call import Receive, Scope, Send, call_of
from ..proxying.forward import Order, ReverseProxy
from ..webhooks.errors import CallError
from .connection import Connections
from .identity import identity_headers
from .remotes import Remote, Remotes

_SCHEMAS = "/openapi/v3"
UNAVAILABLE = "service unavailable"


class AggregatedApis:
    """ASGI middleware."""

    def __init__(
        self, app: ASGIApp, *, remotes: Remotes, connections: Connections, proxy: ReverseProxy
    ) -> None:
        self._app = app
        self._remotes = remotes
        self._connections = connections
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        path = call.info.path
        named = group_version(path)
        remote = (await self._remotes.refresh()).get(named) if named else None
        if remote is None:
            await self._app(scope, receive, send)
            return
        if call.info.verb == "watch":
            # What it costs from here on is the other server's.
            call.initialised()
        begun = _Begun(send)
        try:
            await self._forward(remote, path, call.user, scope, receive, begun)
        except ApiError as error:
            if begun.started:
                raise
            await _plain(send, error.http_code, error.message)

    async def _forward(
        self, remote: Remote, path: str, user: User, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not remote.available:
            await _plain(send, 503, UNAVAILABLE)
            return
        try:
            tls = self._connections.tls(remote)
        except CallError as error:
            await _plain(send, 500, str(error))
            return
        try:
            address = await self._connections.address(remote)
        except CallError:
            await _plain(send, 503, UNAVAILABLE)
            return
        query = scope["query_string"].decode("latin-1")
        order = Order(
            f"https://{address}{path}{'?' + query if query else ''}",
            tls,
            server_name=remote.server_name,
            host=str(address),
            headers=identity_headers(user),
            redirects=False,
        )
        await self._proxy.forward(order, scope, receive, send)


class _Begun:
    """Remembers whether the answer is on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Any) -> None:
        self.started = True
        await self._send(message)


def group_version(path: str) -> tuple[str, str] | None:
    """Whose business a path is: `/apis/G/V…`, `/api/V…` and the schemas of the same."""
    if path.startswith(_SCHEMAS):
        path = path.removeprefix(_SCHEMAS)
    parts = path.split("/", 4)
    if len(parts) > 3 and parts[1] == "apis" and parts[2] and parts[3]:
        return parts[2], parts[3]
    if len(parts) > 2 and parts[1] == "api" and parts[2]:
        return "", parts[2]
    return None


async def _plain(send: Send, status: int, text: str) -> None:
    body = text.encode() + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
