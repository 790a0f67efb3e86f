"""Upgrades through the proxy: once the backend agrees, bytes pass both ways unread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from kplane.api.errors import ApiError, BadRequest
from kplane.client.streams.duplex import SocketDuplex, relay
from kplane.client.streams.upgrade import Upgraded, open_upgrade
from kplane.runtime.serving import hijack

from ..http.call import Scope, call_of
from .headers import Header

if TYPE_CHECKING:
    from .forward import Order

REFUSAL_SECONDS = 10.0
"""How long the backend may take to tell why it does not upgrade."""

UnlessGone = Callable[[Awaitable[Upgraded]], Awaitable[Upgraded]]
"""Waits for the backend for as long as the client is there."""


async def forward(order: Order, headers: Iterable[Header], scope: Scope, unless_gone: UnlessGone) -> None:
    """Raises ApiError while the client's connection still speaks HTTP."""
    connection = hijack(scope)
    if connection is None:
        raise BadRequest("Upgrade request required")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    try:
        answer = await unless_gone(
            open_upgrade(scope["method"], order.url, pairs, tls=order.tls, server_name=order.server_name)
        )
    except ConnectionError as error:
        raise ApiError(f"error dialing backend: {error}") from error
    if answer.status != 101 and answer.status < 400:
        await answer.duplex.close()
        raise ApiError(f"invalid upgrade response: status code {answer.status}")
    call = call_of(scope)
    if call.audit is not None:
        await call.audit.responds(101)
    client = SocketDuplex(*await connection.take())
    call.outlive_deadline()
    with contextlib.suppress(ConnectionError):  # the client is gone: so is the backend's connection, below
        await client.write(answer.head)
    if answer.status == 101:
        await relay(client, answer.duplex)
        return
    try:
        with contextlib.suppress(TimeoutError, ConnectionError):  # what came was passed on
            async with asyncio.timeout(REFUSAL_SECONDS):
                await _pass_refusal(answer, client)
    finally:
        await client.close()
        await answer.duplex.close()


async def _pass_refusal(answer: Upgraded, client: SocketDuplex) -> None:
    """The body of a refusal as it is on the wire, up to its end."""
    length = answer.headers.get("content-length", "")
    left = int(length) if length.isdecimal() else None
    tail = b""
    while left != 0 and not (left is None and tail == b"0\r\n\r\n"):
        data = await answer.duplex.read()
        if not data:
            return
        data = data if left is None else data[:left]
        await client.write(data)
        left = None if left is None else left - len(data)
        tail = (tail + data)[-5:]
