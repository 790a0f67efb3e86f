"""SPDY sessions and WebSockets against each other and against `websockets`' own client."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from kplane.client.streams.dictionary import DICTIONARY
from kplane.client.streams.duplex import SocketDuplex
from kplane.client.streams.spdy import Session, StreamReset
from kplane.client.streams.websocket import HandshakeRefused, accept


class PipeDuplex:
    """One end of an in-memory connection."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def read(self) -> bytes:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        # Two halves: a frame must be put together from however many reads it takes.
        middle = len(data) // 2
        for part in (data[:middle], data[middle:]):
            if part:
                await self._outgoing.put(part)

    async def close(self) -> None:
        await self._outgoing.put(b"")
        await self._incoming.put(b"")


@asynccontextmanager
async def sessions() -> AsyncIterator[tuple[Session, Session]]:
    there: asyncio.Queue[bytes] = asyncio.Queue()
    back: asyncio.Queue[bytes] = asyncio.Queue()
    client = Session(PipeDuplex(back, there), server=False)
    server = Session(PipeDuplex(there, back), server=True)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(client.run())
        group.create_task(server.run())
        try:
            yield client, server
        finally:
            await client.close()


def test_dictionary_is_the_one_that_the_protocol_prescribes() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


async def test_headers_and_bytes_arrive_in_both_directions() -> None:
    async with sessions() as (client, server):
        stream = await client.open({"streamType": "stdin", "port": "80"})
        other = await anext(server.accept())

        await stream.write(b"question")
        await stream.close()
        assert await other.read_all() == b"question"
        await other.write(b"answer")
        await other.close()
        assert await stream.read_all() == b"answer"
        assert other.headers == {"streamtype": "stdin", "port": "80"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=1, max_size=5000)), max_size=20))
async def test_streams_of_one_session_do_not_mix(writes: list[tuple[int, bytes]]) -> None:
    async with sessions() as (client, server):
        streams = [await client.open({"n": str(number)}) for number in range(4)]
        accepting = server.accept()
        others = [await anext(accepting) for _ in streams]
        for index, data in writes:
            await streams[index].write(data)
        for stream in streams:
            await stream.close()

        for index, other in enumerate(others):
            assert other.headers == {"n": str(index)}
            assert await other.read_all() == b"".join(data for target, data in writes if target == index)


async def test_large_write_is_cut_into_frames_and_arrives_whole() -> None:
    data = bytes(range(256)) * 4096
    async with sessions() as (client, server):
        stream = await client.open({})
        other = await anext(server.accept())
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.write(data))
            received = bytearray()
            while len(received) < len(data):
                received += await other.read()

    assert received == data


async def test_reset_stream_cannot_be_written() -> None:
    async with sessions() as (client, server):
        stream = await client.open({})
        other = await anext(server.accept())
        await other.reset()
        assert await stream.read() == b""

        with pytest.raises(StreamReset):
            await stream.write(b"late")


async def test_end_of_the_connection_ends_every_stream() -> None:
    async with sessions() as (client, server):
        stream = await client.open({})
        other = await anext(server.accept())
        await client.close()

        assert await other.read() == b""
        assert await stream.read() == b""
        assert [opened async for opened in server.accept()] == []


async def test_nonsense_ends_the_session() -> None:
    there: asyncio.Queue[bytes] = asyncio.Queue()
    session = Session(PipeDuplex(there, asyncio.Queue()), server=True)
    await there.put(b"\x80\x03\x00\x01\x00\x00\x00\x10" + b"\xff" * 16)

    await asyncio.wait_for(session.run(), 5)

    assert [opened async for opened in session.accept()] == []


@asynccontextmanager
async def websocket_echo(subprotocols: list[str]) -> AsyncIterator[int]:
    """A server that greets with the agreed subprotocol and echoes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        pairs = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line]
        headers = [(name.lower(), value) for name, value in pairs]
        try:
            socket = await accept(SocketDuplex(reader, writer), "/", headers, subprotocols)
        except HandshakeRefused:
            return
        await socket.write(socket.subprotocol.encode())
        while message := await socket.read():
            await socket.write(message)
        await socket.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_websocket_prefers_the_servers_first_subprotocol_and_echoes() -> None:
    async with websocket_echo(["v5.channel.k8s.io", "v4.channel.k8s.io"]) as port:
        offered = ["v4.channel.k8s.io", "v5.channel.k8s.io"]
        async with connect(f"ws://127.0.0.1:{port}", subprotocols=offered, proxy=None) as client:  # type: ignore[arg-type]
            assert await client.recv() == b"v5.channel.k8s.io"
            big = b"x" * 200_000
            await client.send([big[:1000], big[1000:]])
            assert await client.recv() == big


async def test_websocket_without_a_common_subprotocol_is_refused() -> None:
    async with websocket_echo(["v5.channel.k8s.io"]) as port:
        with pytest.raises(Exception, match="403"):
            await connect(f"ws://127.0.0.1:{port}", subprotocols=["other"], proxy=None)  # type: ignore[list-item]
