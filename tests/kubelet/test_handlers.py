"""What probes and hooks do over the network, against servers that are really there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from kplane.kubelet.handlers import BadPort, NodeNetwork, Outcome, perform, port_number
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.hollow import HollowRuntime
from kplane.testing.clock import VirtualClock

from .support import pod_of

Answers = Callable[[str], str]


@asynccontextmanager
async def web(answer: Answers) -> AsyncIterator[int]:
    """A server whose answers are made from the path that was asked for; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(answer(head.split()[1]).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def said(status: str, body: str = "", **headers: str) -> str:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines])
    return f"{head}\r\n\r\n{body}"


async def get(port: int, path: str = "/") -> Outcome:
    return await NodeNetwork().http(f"http://127.0.0.1:{port}{path}", {}, 5)


@pytest.mark.parametrize(
    ("status", "passed"),
    [("200 OK", True), ("399 Odd", True), ("400 Bad", False), ("500 Broken", False)],
)
async def test_http_probe_judges_the_status(status: str, passed: bool) -> None:
    async with web(lambda path: said(status, "body")) as port:
        outcome = await get(port)

    code = status.split()[0]
    expected = "body" if passed else f"HTTP probe failed with statuscode: {code}"
    assert (outcome.passed, outcome.output) == (passed, expected)


async def test_http_probe_follows_redirects_within_the_host() -> None:
    async with web(
        lambda path: said("302 Found", Location="/there") if path == "/" else said("500 X")
    ) as port:
        assert (await get(port)).passed is False


async def test_http_probe_takes_a_redirect_to_elsewhere_for_an_answer() -> None:
    async with web(lambda path: said("302 Found", "away", Location="http://203.0.113.1/")) as port:
        assert await get(port) == Outcome(True, "away", 302)


async def test_http_probe_does_not_follow_for_ever() -> None:
    async with web(lambda path: said("302 Found", Location="/")) as port:
        outcome = await get(port)

    assert (outcome.passed, outcome.output) == (
        False,
        f'Get "http://127.0.0.1:{port}/": stopped after 10 redirects',
    )


async def test_hook_is_delivered_to_a_server_that_answers_with_an_error() -> None:
    async with web(lambda path: said("500 Broken")) as port:
        assert (await get(port)).delivered
    assert not (await get(free_port())).delivered


async def test_refused_connections_are_worded_as_upstream() -> None:
    port = free_port()

    assert await NodeNetwork().tcp("127.0.0.1", port, 5) == Outcome(
        False, f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    )
    assert (await get(port)).output == (
        f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )


async def test_tcp_probe_passes_where_somebody_listens() -> None:
    async with web(lambda path: said("200 OK")) as port:
        assert (await NodeNetwork().tcp("127.0.0.1", port, 5)).passed


@asynccontextmanager
async def health(services: dict[str, int]) -> AsyncIterator[int]:
    """A server of grpc.health.v1: statuses by service; others it does not know."""

    async def check(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        name = request[3 if len(request) > 129 else 2 :].decode()
        if name not in services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return bytes([8, services[name]])

    server = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("service", "passed", "output"),
    [
        pytest.param("", True, "service healthy", id="whole-server"),
        pytest.param("web", True, "service healthy", id="named"),
        pytest.param("w" * 300, True, "service healthy", id="long-name"),
        pytest.param("sick", False, 'service unhealthy (responded with "NOT_SERVING")', id="not-serving"),
    ],
)
async def test_grpc_probe_asks_for_the_health_of_a_service(service: str, passed: bool, output: str) -> None:
    async with health({"": 1, "web": 1, "w" * 300: 1, "sick": 2}) as port:
        assert await NodeNetwork().grpc("127.0.0.1", port, service, 5) == Outcome(passed, output)


async def test_grpc_probe_fails_where_nobody_answers() -> None:
    port = free_port()
    outcome = await NodeNetwork().grpc("127.0.0.1", port, "", 2)

    assert outcome.passed is False
    assert f'unable to connect to "127.0.0.1:{port}"' in outcome.output


def container(**fields: Any) -> Pod:
    return pod_of({"name": "web", "image": "web:1", **fields})


def test_ports_go_by_number_or_by_the_containers_name_for_them() -> None:
    found = container(ports=[{"name": "http", "containerPort": 8080}]).spec.containers[0]

    assert [port_number(port, found) for port in (80, "81", "http")] == [80, 81, 8080]
    with pytest.raises(BadPort, match="couldn't find port other in container web"):
        port_number("other", found)


async def test_probe_of_a_port_that_has_no_such_name_cannot_be_carried_out() -> None:
    pod = container(readinessProbe={"httpGet": {"port": "other"}})
    probe = pod.spec.containers[0].readiness_probe
    assert probe is not None
    clock = VirtualClock()
    runtime = HollowRuntime(clock, None, "10.1.0.0/24")  # type: ignore[arg-type]

    outcome = await perform(probe, pod.spec.containers[0], "id", "127.0.0.1", runtime, NodeNetwork(), 1)
    assert outcome == Outcome(None, "couldn't find port other in container web")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
