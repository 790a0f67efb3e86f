"""exec and attach: a client's connection on one side, the runtime's streaming server on the other.

A SPDY client speaks the runtime's own protocol, so its bytes are relayed. A WebSocket client is translated:
each message begins with its channel's number, each channel is a SPDY stream towards the runtime.
Subprotocols: `v5.channel.k8s.io`, whose channel 255 closes the channel it names; `v4.channel.k8s.io`;
`channel.k8s.io` or none, where a failure is a sentence and success is silence. Those with `base64` are text.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass

import msgspec

from kplane.api.errors import InternalError
from kplane.client.streams.duplex import SocketDuplex, relay
from kplane.client.streams.spdy import Session, Stream
from kplane.client.streams.upgrade import Upgraded, open_upgrade
from kplane.client.streams.websocket import WebSocket, accept

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
OLDEST, OLDEST_TEXT = "channel.k8s.io", "base64.channel.k8s.io"
TEXTS = (OLDEST_TEXT, "v4.base64.channel.k8s.io")
SUBPROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", OLDEST, OLDEST_TEXT, "")
RUNTIME_PROTOCOL = "v4.channel.k8s.io"
DRAIN_SECONDS = 10.0


@dataclass(frozen=True)
class Wanted:
    """Which of a process' streams a client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


async def connect_runtime(url: str, protocol: str) -> Upgraded:
    """A SPDY connection to the runtime's streaming server. Raises InternalError if it refuses."""
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", protocol),
        ("Content-Length", "0"),
    ]
    try:
        answer = await open_upgrade("POST", url, headers)
    except ConnectionError as error:
        raise InternalError(f"error dialing backend: {error}") from error
    if answer.status != 101:
        await answer.duplex.close()
        raise InternalError(f"the container runtime answered an upgrade with status {answer.status}")
    return answer


async def relay_upgrade(client: SocketDuplex, method: str, url: str, headers: list[tuple[str, str]]) -> None:
    """Pass a client's upgrade on to `url`, answer head and all, and relay whatever follows."""
    answer = await open_upgrade(method, url, headers)
    await client.write(answer.head)
    await relay(client, answer.duplex)


async def serve_websocket(
    client: SocketDuplex, target: str, headers: list[tuple[bytes, bytes]], url: str, wanted: Wanted
) -> None:
    """Serve exec or attach to a WebSocket client from the runtime's streams at `url`."""
    upstream = await connect_runtime(url, RUNTIME_PROTOCOL)
    try:
        socket = Channels(await accept(client, target, headers, SUBPROTOCOLS))
        session = Session(upstream.duplex, server=False)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(session.run())
            streams = await _open_streams(session, wanted)
            receiving = group.create_task(_receive(socket, streams))
            await _send(socket, streams)
            receiving.cancel()
            reading.cancel()
        await socket.close()
    finally:
        await upstream.duplex.close()


async def _open_streams(session: Session, wanted: Wanted) -> dict[int, Stream]:
    """The SPDY streams by channel, in the order in which runtimes expect them."""
    kinds = [(ERROR, "error", True), (STDIN, "stdin", wanted.stdin), (STDOUT, "stdout", wanted.stdout)]
    kinds += [(STDERR, "stderr", wanted.stderr and not wanted.tty), (RESIZE, "resize", wanted.tty)]
    return {channel: await session.open({"streamType": name}) for channel, name, present in kinds if present}


class Channels:
    """A WebSocket whose messages belong to channels."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._text = socket.subprotocol in TEXTS
        self.tells_success = socket.subprotocol not in (OLDEST, OLDEST_TEXT, "")
        """Whether the outcome is a Status."""

    async def read(self) -> tuple[int, bytes] | None:
        """None once the client has closed, is gone, or sends what is no message of this protocol."""
        message = await self._socket.read()
        if not message:
            return None
        if not self._text:
            return message[0], message[1:]
        try:
            return int(message[:1]), base64.b64decode(message[1:], validate=True)
        except ValueError:
            return None

    async def write(self, channel: int, data: bytes) -> None:
        """Raises ConnectionError."""
        if self._text:
            await self._socket.write(str(channel).encode() + base64.b64encode(data), text=True)
        else:
            await self._socket.write(bytes([channel]) + data)

    async def close(self) -> None:
        await self._socket.close()


async def _receive(socket: Channels, streams: dict[int, Stream]) -> None:
    """Client to runtime, until the client is gone; its going away ends the process' input."""
    while message := await socket.read():
        channel, data = message
        if channel == CLOSE and data:
            await _close(streams.get(data[0]))
        elif channel in (STDIN, RESIZE) and channel in streams and data:
            with contextlib.suppress(ConnectionError):  # the process reads no more: its end is on its way
                await streams[channel].write(data)
    for stream in streams.values():
        with contextlib.suppress(ConnectionError):
            await stream.reset()


async def _close(stream: Stream | None) -> None:
    if stream is not None:
        with contextlib.suppress(ConnectionError):
            await stream.close()


async def _send(socket: Channels, streams: dict[int, Stream]) -> None:
    """Runtime to client: all output first, then the outcome, which ends the exchange."""
    outputs = [channel for channel in (STDOUT, STDERR) if channel in streams]
    with contextlib.suppress(ConnectionError):  # the client is gone: nobody waits for the rest
        async with asyncio.TaskGroup() as group:
            copies = [group.create_task(_copy(socket, channel, streams[channel])) for channel in outputs]
            outcome = await streams[ERROR].read_all()
            await asyncio.wait(copies, timeout=DRAIN_SECONDS) if copies else None
            for copy in copies:
                copy.cancel()
        if outcome and not socket.tells_success:
            outcome = _sentence(outcome)
        if outcome:
            await socket.write(ERROR, outcome)


def _sentence(outcome: bytes) -> bytes:
    """What a Status says of a failure; nothing of a success."""
    try:
        status = msgspec.json.decode(outcome, type=dict[str, object])
    except msgspec.DecodeError:
        return outcome
    return b"" if status.get("status") == "Success" else str(status.get("message", "")).encode()


async def _copy(socket: Channels, channel: int, stream: Stream) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            await socket.write(channel, data)
