"""The server's side of a WebSocket on a raw connection; framing and handshake by `websockets`.

A `WebSocket` is a Duplex whose reads are whole messages: text is encoded, empty messages are passed over,
pings are answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from kplane.client.streams.duplex import Duplex

MAX_MESSAGE = 32 * 1024 * 1024
PROTOCOL_HEADER = b"sec-websocket-protocol"


class HandshakeRefused(Exception):
    """The client's WebSocket handshake was refused, and told so."""


class WebSocket:
    """An open WebSocket. `subprotocol` is what both sides agreed on."""

    def __init__(self, duplex: Duplex, protocol: ServerProtocol, subprotocol: str) -> None:
        self.subprotocol = subprotocol
        self._duplex = duplex
        self._protocol = protocol
        self._partial: list[bytes] = []
        self._messages: list[bytes] = []

    async def read(self) -> bytes:
        """The next message; b"" once the other side has closed or is gone."""
        while not self._messages:
            data = await self._duplex.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._collect()
            await self._flush()
            if not self._messages and (not data or self._protocol.close_expected()):
                return b""
        return self._messages.pop(0)

    async def write(self, data: bytes, *, text: bool = False) -> None:
        """One message. `data` must be UTF-8 where it is sent as text."""
        try:
            self._protocol.send_text(data) if text else self._protocol.send_binary(data)
        except InvalidState as error:
            raise ConnectionError("the WebSocket is closed") from error
        await self._flush()

    async def close(self) -> None:
        with contextlib.suppress(InvalidState, ConnectionError):  # closed by the other side already
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            await self._flush()
        await self._duplex.close()

    def _collect(self) -> None:
        """Put the frames that have arrived together into messages."""
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._partial.append(bytes(event.data))
                if event.fin:
                    if message := b"".join(self._partial):
                        self._messages.append(message)
                    self._partial.clear()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await self._duplex.write(data)


async def accept(
    duplex: Duplex, target: str, headers: Iterable[tuple[bytes, bytes]], subprotocols: Sequence[str]
) -> WebSocket:
    """Answer the handshake of a GET for `target`. `subprotocols` in the order of our preference; an empty one
    among them means that the client need not name any.

    Subprotocols are agreed on here rather than by `websockets`, which refuses names that are no HTTP tokens;
    `SPDY/3.1+portforward.k8s.io` is none. Raises HandshakeRefused after answering 400 or 403: a bad
    handshake, or no subprotocol in common.
    """
    offered = [value.decode("latin-1") for name, value in headers if name == PROTOCOL_HEADER]
    names = {name.strip() for value in offered for name in value.split(",")}
    chosen = next((name for name in subprotocols if name in (names or ("",))), None)
    protocol = ServerProtocol(max_size=MAX_MESSAGE)
    protocol.receive_data(_request_head(target, headers))
    events = protocol.events_received()
    if events and chosen is not None:
        request = events[0]
        assert isinstance(request, Request)
        response = protocol.accept(request)
        if chosen:
            response.headers[PROTOCOL_HEADER.decode()] = chosen
    else:
        response = protocol.reject(403 if events else 400, "no supported subprotocol was requested\n")
    protocol.send_response(response)
    for data in protocol.data_to_send():
        if data:
            await duplex.write(data)
    if chosen is None or response.status_code != 101:
        await duplex.close()
        raise HandshakeRefused(f"status {response.status_code}")
    return WebSocket(duplex, protocol, chosen)


def _request_head(target: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of the request, rebuilt from its parts, without the offered subprotocols."""
    lines = [f"GET {target} HTTP/1.1\r\n".encode()]
    lines += [name + b": " + value + b"\r\n" for name, value in headers if name != PROTOCOL_HEADER]
    return b"".join([*lines, b"\r\n"])
