"""`pods/proxy` over real connections."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..conftest import Api
from .backend import HOST, answer, echo, raw, read_body, running
from .conftest import POD, Client, make_pod

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WEB = f"{POD}/web/proxy"
MALFORMED = "net/http: HTTP/1.x transport connection broken: malformed HTTP response"


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_reaches_the_pod(api: Api, client: Client, method: str) -> None:
    async with running(echo) as port:
        await make_pod(api, port)

        async with client(
            method, f"{WEB}/some/path?a=1&a=2&b=%20", data=b"ping" if method == "PUT" else None
        ) as got:
            assert got.status == 200
            if method != "HEAD":
                seen = await got.json()
                assert (seen["method"], seen["path"], seen["query"]) == (
                    method,
                    "/some/path",
                    "a=1&a=2&b=%20",
                )
                assert seen["body"] == ("ping" if method == "PUT" else "")


@pytest.mark.parametrize(
    ("asked", "reached"),
    [
        pytest.param("/", "/", id="root"),
        pytest.param("/a/", "/a/", id="slash-at-the-end"),
        pytest.param("/a//b/./../c", "/a/c", id="cleaned"),
        pytest.param("/a%20b%3Fc", "/a%20b%3Fc", id="escaped"),
        pytest.param("/../../secrets", "/secrets", id="not-above-the-root"),
    ],
)
async def test_path_behind_the_proxy(api: Api, client: Client, asked: str, reached: str) -> None:
    async with running(echo) as port:
        await make_pod(api, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(
            f"GET {WEB}{asked} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer secret\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        text = await reader.read()
        writer.close()

    assert f'"path":"{reached}"'.encode() in text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reading_without_a_path_is_sent_to_the_slash(api: Api, client: Client, method: str) -> None:
    await make_pod(api, 9)

    async with client(method, f"{WEB}?method={method}") as got:
        assert got.status == 301
        assert got.headers["location"] == f"{WEB}/?method={method}"


async def test_writing_without_a_path_reaches_the_root(api: Api, client: Client) -> None:
    async with running(echo) as port:
        await make_pod(api, port)
        async with client("POST", f"{WEB}?x=1", data=b"body") as got:
            seen = await got.json()

    assert (seen["path"], seen["query"], seen["body"]) == ("/", "x=1", "body")


async def test_headers_of_a_request(api: Api, client: Client) -> None:
    sent = {
        "X-Mine": "kept", "Cookie": "kept=1", "Connection": "keep-alive, X-Hop", "X-Hop": "dropped",
        "TE": "trailers",
        "Proxy-Authorization": "dropped", "X-Remote-User": "root", "X-Remote-Extra-Scopes": "all",
        "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Uri": "/forged", "User-Agent": "test",
    }  # fmt: skip
    async with running(echo) as port:
        await make_pod(api, port)
        async with client("GET", f"{WEB}/x", headers=sent) as got:
            pairs = (await got.json())["headers"]

    seen = dict(pairs)
    assert len(seen) == len(pairs)
    for name in ("authorization", "x-hop", "proxy-authorization", "x-remote-user", "x-remote-extra-scopes"):
        assert name not in seen
    assert (seen["x-mine"], seen["cookie"], seen["te"], seen["user-agent"]) == (
        "kept",
        "kept=1",
        "trailers",
        "test",
    )
    assert seen["x-forwarded-for"] == "192.0.2.7, 127.0.0.1"
    assert seen["x-forwarded-uri"] == f"{WEB}/x"
    assert seen["host"] == f"127.0.0.1:{client.port}"


async def test_headers_of_an_answer(api: Api, client: Client) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"keep-alive", b"5"),
            (b"connection", b"x-hop"), (b"x-hop", b"1"), (b"access-control-allow-origin", b"*"),
            (b"x-mine", b"kept"),
        ]  # fmt: skip
        await answer(send, b"teapot", *headers, status=418)

    async with running(app) as port:
        await make_pod(api, port)
        async with client("GET", f"{WEB}/") as got:
            assert (got.status, await got.read()) == (418, b"teapot")
            assert got.headers.getall("set-cookie") == ["a=1", "b=2"]
            assert got.headers["x-mine"] == "kept"
            for name in ("keep-alive", "x-hop", "access-control-allow-origin"):
                assert name not in got.headers
            assert len(got.headers.getall("date", ())) <= 1


async def test_bodies_stream_both_ways(api: Api, client: Client) -> None:
    """Each piece is answered before the next is sent: nothing waits for the end of a body."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            if message["body"]:
                await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with running(app) as port:
        await make_pod(api, port)
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(
            f"POST {WEB}/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        async with asyncio.timeout(30):
            for piece in (b"one", b"two"):
                writer.write(b"3\r\n" + piece + b"\r\n")
                await reader.readuntil(piece.upper())
        writer.close()


async def test_a_client_that_leaves_ends_the_backend_request(api: Api, client: Client) -> None:
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with running(app) as port:
        await make_pod(api, port)
        got = await client("GET", f"{WEB}/")
        assert await got.content.readexactly(5) == b"begun"
        got.close()

        async with asyncio.timeout(30):
            await left.wait()


async def test_a_client_that_leaves_while_it_sends_ends_the_backend_request(api: Api, client: Client) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            begun.set()
        left.set()

    async with running(app) as port, asyncio.timeout(30):
        await make_pod(api, port)
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        head = f"PUT {WEB}/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nContent-Length: 10"
        writer.write(f"{head}\r\n\r\nhalf".encode())
        await begun.wait()
        writer.close()
        await left.wait()


async def test_backend_that_breaks_off_breaks_the_answer_off(api: Api, client: Client) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await writer.drain()

    async with raw(serve) as port:
        await make_pod(api, port)
        with pytest.raises(aiohttp.ClientPayloadError):
            async with client("GET", f"{WEB}/") as got:
                await got.read()


async def test_tls_by_scheme_and_port_in_the_name(api: Api, client: Client, tmp_path: Path) -> None:
    async with running(echo, tmp_path / "backend") as port:
        await make_pod(api, 9)
        async with client("GET", f"{POD}/https:web:{port}/proxy/x") as got:
            assert (await got.json())["path"] == "/x"


def refusal(message: str) -> str:
    return f"error trying to reach service: {message}"


async def test_refused_connection(api: Api) -> None:
    async with running(echo) as port:
        pass
    await make_pod(api, port)

    got = await api("GET", f"{WEB}/")

    assert got.code == 503
    assert got.body["reason"] == "ServiceUnavailable"
    assert got.body["message"] == refusal(f"dial tcp {HOST}:{port}: connect: connection refused")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param(b"", "EOF", id="silence"),
        pytest.param(
            b"SSH-2.0\r\n\r\n",
            MALFORMED,
            id="ssh",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 70_000 + b"\r\n\r\n",
            MALFORMED,
            id="huge-header",
        ),
    ],
)
async def test_backend_that_speaks_no_http(api: Api, said: bytes, message: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()

    async with raw(serve) as port:
        await make_pod(api, port)
        got = await api("POST", f"{WEB}/")

    assert (got.code, got.body["message"]) == (503, refusal(message))


async def test_https_to_a_plain_server(api: Api) -> None:
    async with running(echo) as port:
        await make_pod(api, port)
        got = await api("GET", f"{POD}/https:web:{port}/proxy/")

    assert (got.code, got.body["message"]) == (
        503,
        refusal("http: server gave HTTP response to HTTPS client"),
    )


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        pytest.param("gone", 404, 'pods "gone" not found', id="no-pod"),
        pytest.param("ftp:web:21", 400, 'invalid pod request "ftp:web:21"', id="scheme"),
        pytest.param("a:b:c:d", 400, 'invalid pod request "a:b:c:d"', id="parts"),
        pytest.param("web:http", 400, 'invalid pod request "web:http"', id="named-port"),
        pytest.param("web:70000", 400, 'invalid pod request "web:70000"', id="port-out-of-range"),
        pytest.param(":80", 400, 'invalid pod request ":80"', id="no-name"),
    ],
)
async def test_names_that_lead_nowhere(api: Api, name: str, code: int, message: str) -> None:
    await make_pod(api, 80)

    got = await api("GET", f"{POD}/{name}/proxy/")

    assert (got.code, got.body["message"]) == (code, message)


@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.169.254", "::1"])
async def test_addresses_that_pods_cannot_have(api: Api, ip: str) -> None:
    await make_pod(api, 80, ip=ip)

    got = await api("GET", f"{WEB}/")

    assert (got.code, got.body["message"]) == (400, "address not allowed")


async def test_pod_without_an_address(api: Api) -> None:
    await api.make(POD, {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})

    got = await api("GET", f"{WEB}/")

    assert (got.code, got.body["message"]) == (400, "address not allowed")


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_pages_and_redirects_lead_below_the_proxy(api: Api, client: Client, encoding: str) -> None:
    page = b'<html><a href="/next?x=1">n</a><a href=other>o</a><script>"<a href=\'/no\'>"</script></html>'

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        if scope["path"] == "/old":
            await answer(send, b"", (b"location", b"/new/"), status=302)
            return
        body = gzip.compress(page) if encoding else page
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await answer(send, body, *headers, *([(b"content-encoding", b"gzip")] if encoding else []))

    async with running(app) as port:
        await make_pod(api, port)
        async with client("GET", f"{WEB}/old") as got:
            assert (got.status, got.headers["location"]) == (302, f"{WEB}/new/")
        async with client("GET", f"{WEB}/") as got:
            body = await got.read()

    text = (gzip.decompress(body) if encoding else body).decode()
    assert f'<a href="{WEB}/next?x=1">n</a><a href=other>' in text
    assert "'/no'" in text
