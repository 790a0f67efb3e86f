"""The in-process transport: streams, disconnects and failures as over a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kplane.api.errors import Unreachable
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime.serving import peer_certificate
from kplane.testing import VirtualClock


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    headers = dict(scope["headers"])
    text = b"|".join(
        [
            scope["method"].encode(),
            scope["path"].encode(),
            scope["query_string"],
            headers.get(b"authorization", b""),
            peer_certificate(scope) or b"",
            message["body"],
        ]
    )
    await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Kind", b"echo")]})
    await send({"type": "http.response.body", "body": text, "more_body": False})


class Endless:
    """Sends a line whenever it may, and notes how it ended."""

    def __init__(self) -> None:
        self.ended = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"line\n", "more_body": True})
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


async def test_request_and_identity_reach_the_application() -> None:
    transport = AsgiTransport(echo, token="secret", certificate=b"DER")

    response = await transport.request("PUT", "/a%20b", query={"x": "1 2"}, body=b"body")

    assert response.status == 201
    assert response.headers == {"x-kind": "echo"}
    assert response.body == b"PUT|/a b|x=1+2|Bearer secret|DER|body"


async def test_stream_arrives_while_the_application_runs_and_ends_with_its_consumer() -> None:
    app = Endless()
    async with AsgiTransport(app).stream("GET", "/") as stream:
        lines = stream.lines()
        assert [await anext(lines) for _ in range(100)] == [b"line"] * 100
        assert app.ended == ""

    assert app.ended == "cancelled"


@pytest.mark.parametrize("started", [False, True])
async def test_application_that_fails_is_unreachable(started: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("bug")

    with pytest.raises(Unreachable):
        await AsgiTransport(app).request("GET", "/")


async def test_exceptions_of_the_consumer_come_out_as_themselves() -> None:
    async def consume() -> None:
        async with AsgiTransport(Endless()).stream("GET", "/"):
            raise LookupError("mine")

    with pytest.raises(LookupError):
        await consume()


async def test_cancelled_request_cancels_the_application() -> None:
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(AsgiTransport(app).request("GET", "/"))
    await VirtualClock().idle()
    task.cancel()
    await asyncio.wait([task])

    assert ended.is_set()
