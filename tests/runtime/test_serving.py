"""Serving: TLS, the client's certificate in the scope, and connections that leave HTTP."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kplane.runtime import pki, serving
from kplane.runtime.health import component_app, respond
from kplane.runtime.process import Fatal
from kplane.runtime.serving import Serving, ServingConfig, free_port, hijack, peer_certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure(directory, server_names=["localhost"], server_ips=["127.0.0.1"])
    return directory


def serving_config(directory: Path) -> ServingConfig:
    return ServingConfig(
        "127.0.0.1", 0, directory / "apiserver.crt", directory / "apiserver.key", directory / "ca.crt"
    )


def client_context(directory: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    if name:
        context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    return context


async def exchange(port: int, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None
    )
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def tell_certificate(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, 200, peer_certificate(scope) or b"anonymous")


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("name", [pytest.param("admin", id="certificate"), pytest.param(None, id="none")])
async def test_client_certificate_reaches_the_application(certificates: Path, name: str | None) -> None:
    async with Serving(tell_certificate, serving_config(certificates)) as server:
        answer = await exchange(server.port, GET, client_context(certificates, name))

    body = answer.partition(b"\r\n\r\n")[2]
    if name is None:
        assert body == b"anonymous"
    else:
        assert ssl.DER_cert_to_PEM_cert(body) == (certificates / "admin.crt").read_text()


async def test_certificate_of_another_authority_is_refused(certificates: Path, tmp_path: Path) -> None:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=[])
    context = client_context(certificates, None)
    context.load_cert_chain(tmp_path / "admin.crt", tmp_path / "admin.key")

    async with Serving(tell_certificate, serving_config(certificates)) as server:
        try:
            answer = await exchange(server.port, GET, context)
        except (ssl.SSLError, ConnectionError):
            answer = b""

    assert answer == b""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    connection = hijack(scope)
    assert connection is not None
    reader, writer = await connection.take()
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    while data := await reader.read(100):
        writer.write(data.upper())
    writer.close()


@pytest.mark.parametrize("secure", [True, False])
async def test_hijacked_connection_carries_bytes_both_ways(certificates: Path, secure: bool) -> None:
    config = serving_config(certificates) if secure else ServingConfig("127.0.0.1", 0)
    context = client_context(certificates, "admin") if secure else None
    async with Serving(echo, config) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=context, server_hostname="localhost" if secure else None
        )
        head = b"POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly"
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(5) == b"EARLY"
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        writer.close()


async def test_upgrade_that_is_not_taken_is_answered_as_usual(certificates: Path) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with Serving(tell_certificate, ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, request)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"anonymous")


async def test_port_in_use_is_a_fatal_that_names_it() -> None:
    async with Serving(tell_certificate, ServingConfig("127.0.0.1", 0)) as server:
        with pytest.raises(Fatal, match=rf"127\.0\.0\.1:{server.port}.*in use"):
            async with Serving(tell_certificate, ServingConfig("127.0.0.1", server.port)):
                pass


async def test_closing_cancels_requests_that_do_not_end() -> None:
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def forever(scope: Any, receive: Any, send: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Serving(forever, ServingConfig("127.0.0.1", 0, grace_seconds=0.01)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await started.wait()

    assert cancelled.is_set()
    writer.close()


@pytest.mark.parametrize("secure", [pytest.param(True, id="TLS"), pytest.param(False, id="plain")])
async def test_the_head_of_a_watch_leaves_before_there_is_an_event(certificates: Path, secure: bool) -> None:
    event = asyncio.Event()

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await event.wait()
        await send({"type": "http.response.body", "body": b"happened", "more_body": True})
        await send({"type": "http.response.body"})

    config = serving_config(certificates) if secure else ServingConfig("127.0.0.1", 0)
    context = client_context(certificates, None) if secure else None
    async with Serving(watch, config) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=context, server_hostname="localhost" if secure else None
        )
        writer.write(GET)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        event.set()
        body = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"happened" in body


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(serving, "LISTENING_PORTS", few := range(first, first + 60))
    script = (
        "from kplane.runtime import serving; "
        f"serving.LISTENING_PORTS = {few}; "
        "print([serving.free_port() for _ in range(10)])"
    )

    given = [free_port() for _ in range(30)]
    elsewhere = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert len({first, *given, *json.loads(elsewhere.stdout)}) == 41


def test_free_ports_are_none_that_outgoing_connections_take() -> None:
    low, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()

    assert max(free_port() for _ in range(100)) < int(low)


async def test_garbage_is_a_400() -> None:
    async with Serving(tell_certificate, ServingConfig("127.0.0.1", 0)) as server:
        assert (await exchange(server.port, b"\x16\x03\x01nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/healthz", b"200", b"ok"),
        ("/readyz?verbose", b"200", b"[+]ping ok\nreadyz check passed\n"),
        ("/livez/ping", b"200", b"ok"),
        ("/livez/missing", b"404", b"404 page not found\n"),
        ("/nothing", b"404", b"404 page not found\n"),
    ],
)
async def test_component_health(path: str, code: bytes, text: bytes) -> None:
    async with Serving(component_app({}), ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, GET.replace(b"/ ", f"{path} ".encode(), 1))

    assert answer.split(b" ")[1] == code
    assert answer.endswith(text)


async def answer_with(headers: list[tuple[bytes, bytes]], body: bytes, scope: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    "header",
    [
        pytest.param((b"x-a", b"1\r\nx-b: 2"), id="line-end"),
        pytest.param((b"x-a", b"1\x00"), id="NUL"),
        pytest.param((b"x a", b"1"), id="space-in-name"),
        pytest.param((b"x-a:", b"1"), id="colon-in-name"),
        pytest.param((b"", b"1"), id="no-name"),
    ],
)
async def test_a_header_that_would_be_another_is_not_sent(header: tuple[bytes, bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_with([header, (b"content-length", b"0")], b"", scope, send)

    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        assert b"x-" not in await exchange(server.port, GET)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param(
            [(b"Content-Length", b"2")], b"content-length: 2\r\nconnection: close\r\n\r\nhi", id="length"
        ),
        pytest.param(
            [], b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", id="chunked"
        ),
        pytest.param(
            [(b"connection", b"x, Close"), (b"content-length", b"2")],
            b"connection: x, Close\r\ncontent-length: 2\r\n\r\nhi",
            id="closes-itself",
        ),
    ],
)
async def test_responses_are_framed(headers: list[tuple[bytes, bytes]], expected: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_with(headers, b"hi", scope, send)

    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, GET)

    head, _, rest = answer.partition(b"date: ")
    assert head == b"HTTP/1.1 200 OK\r\n"
    assert rest.partition(b"GMT\r\n")[2] == expected


async def test_a_body_of_another_length_than_announced_breaks_off() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_with([(b"content-length", b"3")], b"four", scope, send)

    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, GET.replace(b"Connection: close\r\n", b""))

    assert b"four" not in answer


async def test_head_has_no_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_with([(b"content-length", b"2")], b"hi", scope, send)

    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, GET.replace(b"GET", b"HEAD"))

    assert answer.endswith(b"content-length: 2\r\nconnection: close\r\n\r\n")


async def test_who_asks_before_sending_a_body_is_told_to_go_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await answer_with([(b"content-length", b"%d" % len(body))], body, scope, send)

    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await asyncio.wait_for(reader.readuntil(b"hi"), 5)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


async def test_requests_that_do_not_wait_are_answered_in_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["raw_path"]
        await answer_with([(b"content-length", b"%d" % len(path))], path, scope, send)

    several = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(3))
    async with Serving(app, ServingConfig("127.0.0.1", 0)) as server:
        answer = await exchange(server.port, several + GET)

    places = [answer.index(b"\r\n\r\n/%d" % number) for number in range(3)]
    assert places == sorted(places)


async def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    going_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await going_on.wait()
        await answer_with([(b"content-length", b"2")], b"hi", scope, send)

    config = ServingConfig("127.0.0.1", 0, idle_seconds=0.05)
    async with Serving(app, config) as server:
        busy, idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _, writer in (busy, idle):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, _ in (busy, idle):
            await asyncio.wait_for(reader.readuntil(b"hi"), 5)
        busy[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asyncio.wait_for(idle[0].read(), 5) == b""
        going_on.set()
        assert await asyncio.wait_for(busy[0].readuntil(b"hi"), 5)
        assert await asyncio.wait_for(busy[0].read(), 5) == b""
        for _, writer in (busy, idle):
            writer.close()
