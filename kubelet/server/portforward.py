"""port-forward: SPDY towards the runtime, either straight from the client or out of its WebSocket.

A WebSocket client with the subprotocol `SPDY/3.1+portforward.k8s.io` sends SPDY inside of binary messages;
unwrapped, they are what the runtime's streaming server speaks. The older `v4.channel.k8s.io` form carries,
per port of the query, one data and one error channel, each of which begins with the port in two bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence

from kplane.client.streams.duplex import SocketDuplex, relay
from kplane.client.streams.spdy import Session, Stream
from kplane.client.streams.websocket import WebSocket, accept

from .remote import connect_runtime

TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = "v4.channel.k8s.io"
RUNTIME_PROTOCOL = "portforward.k8s.io"


async def serve_websocket(
    client: SocketDuplex, target: str, headers: list[tuple[bytes, bytes]], url: str, ports: Sequence[int]
) -> None:
    upstream = await connect_runtime(url, RUNTIME_PROTOCOL)
    try:
        socket = await accept(client, target, headers, (TUNNEL, CHANNELS))
        if socket.subprotocol == TUNNEL:
            await relay(socket, upstream.duplex)
        else:
            await _channels(socket, Session(upstream.duplex, server=False), ports)
    finally:
        await upstream.duplex.close()


async def _channels(socket: WebSocket, session: Session, ports: Sequence[int]) -> None:
    """Channel 2n carries the data of the n-th port, channel 2n + 1 its error message."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(session.run())
        copies: list[asyncio.Task[None]] = []
        streams: dict[int, Stream] = {}
        for index, port in enumerate(ports):
            for channel, kind in ((2 * index + 1, "error"), (2 * index, "data")):
                headers = {"streamType": kind, "port": str(port), "requestID": str(index)}
                streams[channel] = await session.open(headers)
                await socket.write(bytes([channel]) + struct.pack("<H", port))
                copies.append(group.create_task(_copy(socket, channel, streams[channel])))
        while message := await socket.read():
            stream = streams.get(message[0])
            if stream is not None and message[0] % 2 == 0 and len(message) > 1:
                await stream.write(message[1:])
        for task in (*copies, reading):
            task.cancel()
    await socket.close()


async def _copy(socket: WebSocket, channel: int, stream: Stream) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await stream.read():
            await socket.write(bytes([channel]) + data)
