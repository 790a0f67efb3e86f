"""A real HTTPS server for webhooks, as well or as badly behaved as a test wants it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kplane.runtime import pki


class Received(NamedTuple):
    path: str
    headers: Mapping[str, str]
    body: Any


class Reply(NamedTuple):
    code: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {"content-type": "application/json"}


Handler = Callable[[Received], Awaitable[Reply | bytes]]
"""Bytes are sent as they are, and the connection ends."""


@dataclass
class WebhookServer:
    """`async with WebhookServer(folder, handler) as server`: its certificate is valid for `names`, for
    localhost and 127.0.0.1."""

    folder: Path
    handler: Handler
    names: tuple[str, ...] = ("hook.default.svc",)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def __aenter__(self) -> Self:
        pki.ensure(self.folder, server_names=["localhost", *self.names], server_ips=["127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "apiserver.crt", self.folder / "apiserver.key")
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def bundle(self) -> str:
        """The caBundle of its authority."""
        return base64.b64encode((self.folder / "ca.crt").read_bytes()).decode()

    def by_url(self, path: str = "/hook") -> dict[str, Any]:
        """A clientConfig that names it by URL."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        received = Received(lines[0].split(" ")[1], headers, json.loads(body))
        self.received.append(received)
        reply = await self.handler(received)
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
            return False
        head = f"HTTP/1.1 {reply.code} Whatever\r\ncontent-length: {len(reply.body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        writer.write(head.encode() + b"\r\n" + reply.body)
        await writer.drain()
        return True


def answering(body: Any, code: int = 200) -> Handler:
    """A handler that always says the same, as JSON."""

    async def handler(received: Received) -> Reply:
        return Reply(code, json.dumps(body).encode())

    return handler
