"""Requests that stay, and small servers for users without privileges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
Message = dict[str, Any]


class Stalled:
    """A request whose body never comes, until its client hangs up."""

    def __init__(self, method: str = "POST", path: str = MAPS, token: str = "plain") -> None:
        self.reading = asyncio.Event()
        self.hang_up = asyncio.Event()
        self.parts: list[Message] = []
        """Of the body, to be sent before it stalls."""
        self.answer: Message = {}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "extensions": {},
        }

    async def send_to(self, app: Any) -> None:
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self.parts:
            return self.parts.pop(0)
        self.reading.set()
        await self.hang_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.answer |= message


@asynccontextmanager
async def stalled(app: Any, *requests: Stalled) -> AsyncIterator[Sequence[Stalled]]:
    """These requests have begun, one after the other: each of them runs or waits."""
    async with asyncio.TaskGroup() as tasks:
        for request in requests:
            tasks.create_task(request.send_to(app))
            await request.reading.wait()
        yield requests
        for request in requests:
            request.hang_up.set()
