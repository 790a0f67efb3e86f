"""How responses go out: heads put together, framed, and in one piece with the beginning of their bodies.

The other half of `serving.py`: uvicorn's request cycle with a `send` of our own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_IN_NAMES = bytes({*range(33, 256)} - {*b'\x7f()<>@,;:[]={}\\"'})
_IN_VALUES = bytes({9, *range(32, 256)} - {0x7F})


class Joined:
    """What the responses of a connection are written to. Their heads wait for the first part of the body: one
    record of TLS, one system call and one packet instead of two of each. A head whose body is not there at
    once goes alone."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""
        self.is_closing = transport.is_closing

    def begin(self, head: bytes) -> None:
        self._head = head
        self._loop.call_soon(self._flush)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


@lru_cache(maxsize=512)
def _lower(name: bytes) -> bytes:
    """The name of a header as it is sent. Raises RuntimeError."""
    if not name or name.translate(None, _IN_NAMES):
        raise RuntimeError(f"invalid header name {name!r}")
    return name.lower()


class Exchange(RequestResponseCycle):
    """A request and its response, whose sending is our own: uvicorn's searches each header by itself for
    characters that must not be there, which takes as long as all the rest."""

    transport: Joined  # type: ignore[assignment]

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._continue(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind}")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started, self.waiting_for_100_continue = True, False
        lines, closes = [STATUS_LINE[status]], False
        for name, value in (*self.default_headers, *headers):
            name = _lower(name)
            if name in _FRAMING:
                closes |= self._frame(name, value)
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        # The only control characters are the ends of lines: no value becomes a header of its own.
        if head.translate(None, _IN_VALUES) != b"\r\n" * len(lines):
            raise RuntimeError("invalid header value")
        self.transport.begin(head)

    def _frame(self, name: bytes, value: bytes) -> bool:
        """Take note of where the response ends; whether the header says that the connection does, too."""
        value = value.lower()
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length, self.chunked_encoding = int(value), False
        elif name == b"transfer-encoding" and value == b"chunked":
            self.expected_content_length, self.chunked_encoding = 0, True
        elif name == b"connection" and b"close" in map(bytes.strip, value.split(b",")):
            self.keep_alive = False
            return True
        return False

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        elif len(body) > self.expected_content_length:
            raise RuntimeError("the response is longer than its content-length")
        else:
            self.expected_content_length -= len(body)
            self.transport.write(body)
        if not more:
            self._finish()

    def _finish(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the response is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
