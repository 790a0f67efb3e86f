"""Servers behind the proxy: one that says what it was asked, over HTTP or HTTPS, and raw ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from ..addresses import own_address

HOST = own_address()
"""This machine's own address: pods have none of the loopback range."""

App = Callable[[Any, Any, Any], Awaitable[None]]


async def read_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """What arrived, as JSON; headers as pairs."""
    seen = {
        "method": scope["method"],
        "path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "body": (await read_body(receive)).decode(),
        "certificate": bool(scope["extensions"].get("tls", {}).get("client_cert")),
    }
    await answer(send, msgspec.json.encode(seen), (b"content-type", b"application/json"))


@asynccontextmanager
async def running(app: App, keys: Path | None = None, ca: Path | None = None) -> AsyncIterator[int]:
    """The port of a server on every address; with `keys` it speaks TLS."""
    if keys is not None:
        pki.ensure(keys, server_names=["localhost"], server_ips=[HOST])
    listen = ServingConfig(
        address="0.0.0.0",
        port=0,
        cert_file=keys / "apiserver.crt" if keys else None,
        key_file=keys / "apiserver.key" if keys else None,
        client_ca_file=ca,
    )
    async with Serving(app, listen) as serving:
        yield serving.port


@asynccontextmanager
async def raw(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a server that speaks whatever `serve` speaks, for one connection after the other."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_closing(serve(reader, writer), writer))
        tasks.add(task)

    server = await asyncio.start_server(accept, "0.0.0.0", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _closing(work: Awaitable[None], writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(ConnectionError):
            await work
    finally:
        writer.close()
