"""Actions of probes and lifecycle hooks: HTTP, TCP and gRPC from the node, commands in the container.

`Network` is the seam to the pod network: the hollow runtime has none, so it comes with an answering one.
Messages are worded as upstream's (`probe/http`, `probe/tcp`, `probe/grpc`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import grpc
import yarl

from .pod import Container, GrpcAction, Handler, HttpGetAction, TcpSocketAction
from .runtime.interface import Runtime, RuntimeFailure

USER_AGENT = "kube-probe/1.37"
MAX_BODY = 10 * 1024
MAX_REDIRECTS = 10
SERVING = b"\x08\x01"
"""grpc.health.v1 HealthCheckResponse with status SERVING."""


@dataclass(frozen=True)
class Outcome:
    """`passed` None: the action itself could not be carried out."""

    passed: bool | None
    output: str = ""
    status: int = 0
    """Of an HTTP answer."""

    @property
    def delivered(self) -> bool:
        """Whether a hook did its work: an HTTP server that answers has heard it, whatever it says."""
        return bool(self.passed) or self.status > 0


class Network(Protocol):
    """Reaching pods from the node. Answers are Outcomes; nothing is raised."""

    async def http(self, url: str, headers: Mapping[str, str], timeout: float) -> Outcome: ...

    async def tcp(self, host: str, port: int, timeout: float) -> Outcome: ...

    async def grpc(self, host: str, port: int, service: str, timeout: float) -> Outcome: ...


class BadPort(Exception):
    """A named port that the container does not have."""


def port_number(port: int | str, container: Container) -> int:
    """A port by number or by name. Raises BadPort."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    for entry in container.ports:
        if entry.name == port:
            return entry.container_port
    raise BadPort(f"couldn't find port {port} in container {container.name}")


async def perform(
    handler: Handler,
    container: Container,
    container_id: str,
    pod_ip: str,
    runtime: Runtime,
    network: Network,
    timeout: float,
) -> Outcome:
    """Carry out a handler's action, whichever it is (but `sleep`, which is the hook's own)."""
    if handler.exec is not None:
        return await _command(runtime, container_id, handler.exec.command, timeout)
    try:
        if handler.http_get is not None:
            return await _http(handler.http_get, container, pod_ip, network, timeout)
        if handler.tcp_socket is not None:
            return await _tcp(handler.tcp_socket, container, pod_ip, network, timeout)
    except BadPort as error:
        return Outcome(None, str(error))
    if handler.grpc is not None:
        return await _grpc(handler.grpc, pod_ip, network, timeout)
    return Outcome(None, "missing probe handler")


async def _command(runtime: Runtime, container_id: str, command: tuple[str, ...], timeout: float) -> Outcome:
    try:
        result = await runtime.exec_sync(container_id, command, timeout)
    except TimeoutError:
        return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s')
    except RuntimeFailure as error:
        return Outcome(None, str(error))
    output = (result.stdout + result.stderr)[:MAX_BODY].decode(errors="replace")
    return Outcome(result.exit_code == 0, output)


async def _http(
    action: HttpGetAction, container: Container, pod_ip: str, network: Network, timeout: float
) -> Outcome:
    host = action.host or pod_ip
    port = port_number(action.port, container)
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    bracketed = f"[{host}]" if ":" in host else host
    headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    headers |= {entry.name: entry.value for entry in action.http_headers}
    url = f"{action.scheme.lower()}://{bracketed}:{port}{path}"
    return await network.http(url, headers, timeout)


async def _tcp(
    action: TcpSocketAction, container: Container, pod_ip: str, network: Network, timeout: float
) -> Outcome:
    return await network.tcp(action.host or pod_ip, port_number(action.port, container), timeout)


async def _grpc(action: GrpcAction, pod_ip: str, network: Network, timeout: float) -> Outcome:
    return await network.grpc(pod_ip, action.port, action.service or "", timeout)


class NodeNetwork:
    """The real network. Certificates are not verified: probes address pods, not names."""

    async def http(self, url: str, headers: Mapping[str, str], timeout: float) -> Outcome:
        limit = aiohttp.ClientTimeout(total=timeout)
        connector = aiohttp.TCPConnector(ssl=False, force_close=True)
        try:
            async with (
                asyncio.timeout(timeout),
                aiohttp.ClientSession(timeout=limit, connector=connector, auto_decompress=False) as session,
            ):
                return await _follow(session, yarl.URL(url, encoded=True), headers)
        except TimeoutError:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return Outcome(False, f'Get "{url}": {why}')
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(False, f'Get "{url}": {_dial_error(url, error)}')

    async def tcp(self, host: str, port: int, timeout: float) -> Outcome:
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return Outcome(False, f"dial tcp {host}:{port}: {_system_error(error)}")
        writer.close()
        # The peer may have gone already; the connection was made, which is all that was asked.
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return Outcome(True)

    async def grpc(self, host: str, port: int, service: str, timeout: float) -> Outcome:
        name = service.encode()
        request = b"\x0a" + _varint(len(name)) + name if name else b""
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                answer = await check(request, timeout=timeout)
            except grpc.aio.AioRpcError as error:
                return Outcome(False, _grpc_error(host, port, timeout, error))
        if answer == SERVING:
            return Outcome(True, "service healthy")
        return Outcome(False, f'service unhealthy (responded with "{_serving_status(answer)}")')


async def _follow(session: aiohttp.ClientSession, url: yarl.URL, headers: Mapping[str, str]) -> Outcome:
    """Redirects lead on within the host; one that leads away is as good as an answer."""
    here = url
    for _ in range(MAX_REDIRECTS):
        async with session.get(here, headers=headers, allow_redirects=False) as answer:
            body = await answer.content.read(MAX_BODY)
            status, location = answer.status, answer.headers.get("Location")
        target = here.join(yarl.URL(location)) if location and 300 <= status < 400 else None
        if target is None or target.host != url.host:
            if 200 <= status < 400:
                return Outcome(True, body.decode(errors="replace"), status)
            return Outcome(False, f"HTTP probe failed with statuscode: {status}", status)
        here = target
    return Outcome(False, f'Get "{here}": stopped after {MAX_REDIRECTS} redirects')


def _varint(number: int) -> bytes:
    """As protobuf writes lengths."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _dial_error(url: str, error: Exception) -> str:
    """As Go's net package words it."""
    parsed = yarl.URL(url)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno:
        return f"dial tcp {parsed.host}:{parsed.port}: {_system_error(cause)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error)


def _system_error(error: OSError) -> str:
    known = {
        errno.ECONNREFUSED: "connect: connection refused",
        errno.EHOSTUNREACH: "connect: no route to host",
        errno.ENETUNREACH: "connect: network is unreachable",
        errno.ECONNRESET: "read: connection reset by peer",
    }
    return known.get(error.errno or 0, str(error))


def _grpc_error(host: str, port: int, timeout: float, error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"timeout: health rpc did not complete within {timeout:g}s"
    return f'error: unable to connect to "{host}:{port}": {error.details()}'


def _serving_status(answer: bytes) -> str:
    names = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
    return names.get(answer[1] if len(answer) > 1 else 0, "UNKNOWN")
