"""WebSocket and other upgrades through the proxy."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from ..conftest import Api
from .backend import HOST, raw
from .conftest import POD, Client, make_pod

WEB = f"{POD}/web/proxy"
AUTH = {"Authorization": "Bearer secret"}


async def test_frames_pass_both_ways(api: Api, client: Client) -> None:
    seen: list[tuple[str, bool]] = []

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append((connection.request.path, "authorization" in connection.request.headers))
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "0.0.0.0", 0, subprotocols=[websockets.Subprotocol("talk")]) as backend:
        await make_pod(api, next(iter(backend.sockets)).getsockname()[1])
        url = f"ws://127.0.0.1:{client.port}{WEB}/ws?room=1"
        async with connect(
            url, additional_headers=AUTH, subprotocols=[websockets.Subprotocol("talk")]
        ) as peer:
            await peer.send("hello")
            await peer.send(b"\x00" * 300_000)

            assert await peer.recv() == "hello"
            assert await peer.recv() == b"\x00" * 300_000
            assert peer.subprotocol == "talk"
    assert seen == [("/ws?room=1", False)]


async def test_any_protocol_and_bytes_sent_early(api: Api, client: Client) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nhi ")
        while data := await reader.read(100):
            writer.write(data.upper())

    async with raw(backend) as port, asyncio.timeout(30):
        await make_pod(api, port)
        reader, writer = await ask(client, "shout")
        writer.write(b"early")
        head = await reader.readuntil(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(8) == b"hi EARLY"
        writer.close()


async def ask(client: Client, protocol: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    lines = [f"GET {WEB}/ HTTP/1.1", "Host: here", "Authorization: Bearer secret", "Connection: Upgrade"]
    writer.write("\r\n".join([*lines, f"Upgrade: {protocol}", "", ""]).encode())
    return reader, writer


async def test_refusal_of_the_backend_is_passed_on(api: Api, client: Client) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")
        await reader.read()

    async with raw(backend) as port, asyncio.timeout(30):
        await make_pod(api, port)
        reader, _ = await ask(client, "shout")

        assert (await reader.read()).endswith(b"nope")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\n\r\n", "invalid upgrade response: status code 200", id="no-upgrade"
        ),
        pytest.param(b"garbage\r\n\r\n", "malformed HTTP response", id="garbage"),
        pytest.param(b"", "did not answer an upgrade request", id="silence"),
    ],
)
async def test_backend_that_does_not_upgrade(api: Api, client: Client, said: bytes, message: str) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async with raw(backend) as port, asyncio.timeout(30):
        await make_pod(api, port)
        reader, writer = await ask(client, "shout")
        text = await reader.read()
        writer.close()

    assert text.startswith(b"HTTP/1.1 500 ")
    assert message.encode() in text


async def test_backend_that_is_not_there(api: Api, client: Client) -> None:
    async with raw(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    await make_pod(api, port)
    async with asyncio.timeout(30):
        reader, _ = await ask(client, "shout")
        text = await reader.read()

    assert b"500 Internal Server Error" in text
    assert f"error dialing backend: dial tcp {HOST}:{port}".encode() in text


async def test_a_client_that_leaves_ends_the_backend_connection(api: Api, client: Client) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()  # never answers; returns when the proxy hangs up
        ended.set()

    async with raw(backend) as port, asyncio.timeout(30):
        await make_pod(api, port)
        _, writer = await ask(client, "shout")
        await begun.wait()
        writer.close()
        await ended.wait()
