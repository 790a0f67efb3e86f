"""Requests that wait for a seat, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kplane.apiserver.config import ApiServerConfig
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing.waiting import eventually

from .conftest import MAPS
from .test_gate import PODS, narrow, numbers, queued, serving

SMALL = {"max_requests_inflight": 1, "max_mutating_requests_inflight": 0}


@asynccontextmanager
async def connection(port: int, method: str, path: str, length: int = 0) -> AsyncIterator[Any]:
    """A connection on which the head of a request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer plain\r\nContent-Length: {length}"
    writer.write(f"{head}\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_a_closed_connection_gives_up_its_place_and_the_next_ones_run(config: ApiServerConfig) -> None:
    listen = ServingConfig(address="127.0.0.1", port=0)
    async with serving(config, **SMALL) as (server, _), Serving(server.app, listen) as socket:
        await narrow(server, queues=1, length=10)
        async with (
            connection(socket.port, "POST", MAPS, 10) as (_, running),
            connection(socket.port, "GET", PODS) as (_, leaving),
            connection(socket.port, "GET", PODS) as (answer, _),
        ):
            await eventually(lambda: queued(server, 2))
            leaving.close()
            await eventually(lambda: queued(server, 1))
            rejected = await numbers(server, "rejected_requests_total")
            running.write(b"0123456789")
            async with asyncio.timeout(30):
                status = await answer.readline()

    assert rejected == {("narrow", "cancelled"): 1.0}
    assert status == b"HTTP/1.1 200 OK\r\n"


async def test_a_body_that_comes_while_its_request_waits_arrives_whole(config: ApiServerConfig) -> None:
    listen = ServingConfig(address="127.0.0.1", port=0)
    body = b'{"metadata":{"name":"large"},"data":{"a":"' + b"x" * 300_000 + b'"}}'
    async with serving(config, **SMALL) as (server, api), Serving(server.app, listen) as socket:
        await narrow(server, queues=1, length=10)
        async with (
            connection(socket.port, "POST", MAPS, 10) as (_, running),
            connection(socket.port, "POST", MAPS, len(body)) as (answer, waiting),
        ):
            await eventually(lambda: queued(server, 1))
            waiting.write(body)
            running.write(b"0123456789")
            async with asyncio.timeout(30):
                status = await answer.readline()
        made = (await api("GET", f"{MAPS}/large")).body

    assert status == b"HTTP/1.1 201 Created\r\n"
    assert len(made["data"]["a"]) == 300_000
