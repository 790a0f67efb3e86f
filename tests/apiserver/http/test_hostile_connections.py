"""What clients may do below HTTP: heads that never end, two lengths for one body, paths in disguise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from kplane.apiserver.server import ApiServer
from kplane.runtime.serving import MAX_HEAD, Serving, ServingConfig

MAPS = "/api/v1/namespaces/default/configmaps"
HEAD = "Host: kubernetes\r\nAuthorization: Bearer secret\r\n"
HEAD_SECONDS = 0.2


@pytest.fixture
async def port(server: ApiServer) -> AsyncIterator[int]:
    listen = ServingConfig(address="127.0.0.1", port=0, head_seconds=HEAD_SECONDS)
    async with Serving(server.app, listen) as serving:
        yield serving.port


async def exchange(port: int, data: bytes) -> bytes:
    """Everything that the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            writer.write(data)
            return await reader.read()
    finally:
        writer.close()


def post(*headers: str, body: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST {MAPS} HTTP/1.1\r\n{HEAD}{lines}\r\n{body}".encode()


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            post("Content-Length: 5", "Transfer-Encoding: chunked",
                 body="0\r\n\r\nDELETE /api/v1/nodes HTTP/1.1\r\n\r\n"),
            id="length-and-chunks",
        ),
        pytest.param(post("Content-Length: 5", "Content-Length: 6", body="hello1"), id="two-lengths"),
        pytest.param(post("Content-Length : 5", body="hello"), id="space-before-colon"),
        pytest.param(post("Content-Length: -5", body="hello"), id="negative-length"),
        pytest.param(post("Transfer-Encoding: chunked", body=f"{'f' * 18}\r\nhello"), id="endless-chunk"),
        pytest.param(post("X-Folded: a", " Content-Length: 5", body="hello"), id="folded-header"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", id="tls-to-a-plain-port"),
        pytest.param(f"GET /{'a' * 100_000} HTTP/1.1\r\n{HEAD}\r\n".encode(), id="long-path"),
    ],
)  # fmt: skip
async def test_what_could_be_read_in_two_ways_is_read_in_none(port: int, request_: bytes) -> None:
    answer = await exchange(port, request_)

    assert answer.startswith(b"HTTP/1.1 400 ")
    # Nothing behind it is taken for another request.
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    request = f"GET /version HTTP/1.1\r\n{HEAD}X: ".encode()

    # Not a byte more than the server reads: closing with some unread would reset the connection.
    answer = await exchange(port, request.ljust(MAX_HEAD + 1, b"a"))

    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_large_head_below_the_bound_is_read(port: int) -> None:
    request = f"GET /version HTTP/1.1\r\n{HEAD}Connection: close\r\nX: {'a' * (MAX_HEAD // 2)}\r\n\r\n"

    answer = await exchange(port, request.encode())

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /version HTTP/1.1\r\nHost: ", id="half-a-head"),
    ],
)
async def test_who_does_not_finish_a_head_is_let_go(port: int, beginning: bytes) -> None:
    assert await exchange(port, beginning) == b""


async def test_a_second_head_must_come_in_time_as_well(port: int) -> None:
    first = f"GET /version HTTP/1.1\r\n{HEAD}\r\n"

    answer = await exchange(port, f"{first}GET /version HTTP/1.1\r\n".encode())

    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    body = json.dumps({"metadata": {"name": "slow"}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post(f"Content-Length: {len(body)}", "Content-Type: application/json", body=""))
    # Another connection is let go meanwhile: by then the time for a head is over for this one, too.
    assert await exchange(port, b"") == b""

    writer.write(body)
    async with asyncio.timeout(30):
        status = await reader.readline()
    writer.close()

    assert status == b"HTTP/1.1 201 Created\r\n"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{MAPS}%2Fkube-root-ca.crt", id="encoded-slash"),
        pytest.param("/api/v1/namespaces/default/../kube-system/secrets", id="dots"),
        pytest.param(f"{MAPS}/%2e%2e", id="encoded-dots"),
        pytest.param(f"{MAPS}/..%2f..%2fkube-system%2fsecrets", id="encoded-climb"),
        pytest.param("/api/v1//namespaces/default/configmaps", id="double-slash"),
        pytest.param("//api/v1/namespaces/default/configmaps", id="leading-double-slash"),
        pytest.param(f"{MAPS}/a%00b", id="nul"),
        pytest.param(f"{MAPS}/%ff%fe", id="no-utf-8"),
        pytest.param(f"{MAPS}/;/version", id="semicolon"),
    ],
)
async def test_paths_in_disguise_lead_nowhere(port: int, path: str) -> None:
    answer = await exchange(port, f"GET {path} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 404 ")
