"""exec, attach and port-forward through the node server, into containers of a real containerd."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect

from kplane.api.clock import SystemClock
from kplane.api.types.meta import ObjectMeta
from kplane.client.streams.spdy import Session
from kplane.client.streams.upgrade import open_upgrade
from kplane.kubelet.pod import Container, Pod, PodSpec
from kplane.kubelet.runtime.cri import CriRuntime
from kplane.kubelet.runtime.interface import ContainerConfig, SandboxConfig
from kplane.kubelet.server.app import NodeServer
from kplane.kubelet.server.authorization import AlwaysAllow
from kplane.kubelet.server.containers import NodePods
from kplane.kubelet.server.gate import Gate
from kplane.kubelet.usage import Usage
from kplane.runtime import pki
from kplane.runtime.authorities import Authorities
from kplane.runtime.delegation.authentication import Authentication
from kplane.runtime.health import component_app
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing.containerd import containerd
from kplane.testing.images import BUSYBOX
from kplane.testing.waiting import eventually

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.xdist_group("containerd"),
    pytest.mark.asyncio(loop_scope="module"),
]

STDOUT, STDERR, ERROR = 1, 2, 3
WEB = "mkdir /w; echo served >/w/index.html; httpd -p 8080 -h /w; echo started; exec sh"


@dataclass
class Node:
    port: int
    tls: ssl.SSLContext

    def url(self, path: str, scheme: str = "wss") -> str:
        return f"{scheme}://localhost:{self.port}{path}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    certificates = tmp_path_factory.mktemp("pki")
    pki.ensure(certificates, server_names=["localhost"], server_ips=["127.0.0.1"])
    logs = tmp_path_factory.mktemp("logs")
    async with containerd() as machine:
        runtime = CriRuntime(machine.endpoint)
        await runtime.version()
        pod = await start_pod(runtime, logs)
        pods = NodePods(lambda namespace, name: pod if name == "web" else None, lambda pod: runtime, logs)
        authorities = Authorities.load(certificates / "ca.crt", SystemClock())
        gate = Gate("node", Authentication(authorities, None, anonymous=False), AlwaysAllow())
        app = NodeServer(
            pods, Usage(lambda: (), SystemClock(), hollow=True), gate, SystemClock(), component_app({})
        )
        config = ServingConfig(
            "127.0.0.1",
            0,
            certificates / "apiserver.crt",
            certificates / "apiserver.key",
            certificates / "ca.crt",
        )
        async with Serving(app, config) as serving:
            yield Node(
                serving.port,
                context(certificates, "apiserver-kubelet-client"),
            )
        await runtime.close()


def context(certificates: Path, name: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    made.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    return made


async def start_pod(runtime: CriRuntime, logs: Path) -> Pod:
    """A Pod `default/web` whose one container serves HTTP on 8080 and runs a shell on its standard input."""
    sandbox_config = SandboxConfig(
        name="web", namespace="default", uid="u1", log_directory=str(logs / "default_web_u1"),
        labels={"io.kubernetes.pod.uid": "u1"},
    )  # fmt: skip
    sandbox = await runtime.run_sandbox(sandbox_config)
    image = await runtime.image(BUSYBOX)
    assert image is not None
    config = ContainerConfig(
        name="c", image=image.id, command=("sh", "-c", WEB), stdin=True, log_path="c/0.log",
        labels={"io.kubernetes.pod.uid": "u1", "io.kubernetes.container.name": "c"},
    )  # fmt: skip
    container = await runtime.create_container(sandbox, config, sandbox_config)
    await runtime.start_container(container)
    log = logs / "default_web_u1" / "c" / "0.log"
    await eventually(lambda: log.exists() and "started" in log.read_text())
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default", uid="u1"),
        spec=PodSpec(containers=(Container(name="c"),)),
    )


@asynccontextmanager
async def websocket(node: Node, path: str, *subprotocols: str) -> AsyncIterator[ClientConnection]:
    offered: list[object] = list(subprotocols)
    url = node.url(path)
    async with asyncio.timeout(20):
        async with connect(url, ssl=node.tls, subprotocols=offered, proxy=None) as socket:  # type: ignore[arg-type]
            yield socket


async def everything(socket: ClientConnection) -> dict[int, bytes]:
    """All that is sent until the server closes, by channel."""
    received: dict[int, bytes] = {}
    async for message in socket:
        assert isinstance(message, bytes)
        received[message[0]] = received.get(message[0], b"") + message[1:]
    return received


EXEC = "/exec/default/web/c?output=1&error=1"


@pytest.mark.parametrize("subprotocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_exec_separates_the_streams_and_ends_with_success(node: Node, subprotocol: str) -> None:
    command = "&command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262"
    async with websocket(node, EXEC + command, subprotocol) as socket:
        received = await everything(socket)

    assert received[STDOUT] == b"out\n"
    assert received[STDERR] == b"err\n"
    assert json.loads(received[ERROR])["status"] == "Success"


async def test_oldest_protocol_says_nothing_of_success_and_a_sentence_of_failure(node: Node) -> None:
    async with websocket(node, EXEC + "&command=echo&command=out", "channel.k8s.io") as socket:
        assert await everything(socket) == {1: b"out\n"}

    async with websocket(node, EXEC + "&command=sh&command=-c&command=exit+3", "channel.k8s.io") as socket:
        received = await everything(socket)
    assert b"exit code 3" in received[3]
    assert not received[3].startswith(b"{")


async def test_text_protocol_carries_base64(node: Node) -> None:
    async with websocket(node, EXEC + "&command=echo&command=out", "base64.channel.k8s.io") as socket:
        messages = [message async for message in socket]

    assert messages == ["1" + base64.b64encode(b"out\n").decode()]


async def test_text_protocol_takes_base64(node: Node) -> None:
    path = "/exec/default/web/c?input=1&output=1&command=head&command=-n1"
    async with websocket(node, path, "base64.channel.k8s.io") as socket:
        await socket.send("0" + base64.b64encode(b"in\n").decode())
        messages = [message async for message in socket]

    assert messages == ["1" + base64.b64encode(b"in\n").decode()]


async def test_exec_tells_the_exit_code(node: Node) -> None:
    async with websocket(node, EXEC + "&command=sh&command=-c&command=exit+3", "v5.channel.k8s.io") as socket:
        received = await everything(socket)

    status = json.loads(received[ERROR])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_closing_stdin_over_v5_ends_the_input(node: Node) -> None:
    async with websocket(node, EXEC + "&input=1&command=cat", "v5.channel.k8s.io") as socket:
        await socket.send(b"\x00hello")
        await socket.send(b"\xff\x00")
        received = await everything(socket)

    assert received[STDOUT] == b"hello"
    assert json.loads(received[ERROR])["status"] == "Success"


async def test_terminal_takes_its_size_from_the_resize_channel(node: Node) -> None:
    path = "/exec/default/web/c?input=1&output=1&error=1&tty=1&command=sh"
    async with websocket(node, path, "v5.channel.k8s.io") as socket:
        await socket.send(b'\x04{"Width":77,"Height":33}')
        await socket.send(b"\x00until stty size | grep '33 77'; do :; done; exit\n")
        received = await everything(socket)

    assert b"33 77" in received[STDOUT]


async def test_large_output_arrives_whole(node: Node) -> None:
    path = EXEC + "&command=sh&command=-c&command=yes+0123456789abcde+%7C+head+-c+3000000"
    async with websocket(node, path, "v5.channel.k8s.io") as socket:
        received = await everything(socket)

    assert len(received[STDOUT]) == 3_000_000


async def test_attach_reaches_the_containers_own_process(node: Node) -> None:
    path = "/attach/default/web/c?input=1&output=1"
    async with websocket(node, path, "v5.channel.k8s.io") as socket:
        await socket.send(b"\x00echo from $$\n")
        message = await socket.recv()

    assert message == b"\x01from 1\n"


async def test_spdy_client_is_served_too(node: Node) -> None:
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v4.channel.k8s.io"),
        ("Content-Length", "0"),
    ]
    url = node.url("/exec/default/web/c?input=1&output=1&command=cat", "https")
    answer = await open_upgrade("POST", url, headers, tls=node.tls)
    assert answer.status == 101
    assert answer.headers["x-stream-protocol-version"] == "v4.channel.k8s.io"
    session = Session(answer.duplex, server=False)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(session.run())
        error, stdin, stdout = [
            await session.open({"streamType": kind}) for kind in ("error", "stdin", "stdout")
        ]
        await stdin.write(b"over spdy")
        await stdin.close()
        assert await stdout.read_all() == b"over spdy"
        assert json.loads(await error.read_all())["status"] == "Success"
        running.cancel()
        await session.close()


class Messages:
    """A client's WebSocket as a Duplex."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        message = await self._socket.receive()
        return bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else b""

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()


REQUEST = b"GET /index.html HTTP/1.0\r\n\r\n"


async def test_port_forward_through_a_tunnelled_session(node: Node) -> None:
    url, tunnel = node.url("/portForward/default/web"), ["SPDY/3.1+portforward.k8s.io"]
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession() as http,
        http.ws_connect(url, ssl=node.tls, protocols=tunnel) as socket,
        asyncio.TaskGroup() as group,
    ):
        assert socket.protocol == tunnel[0]
        session = Session(Messages(socket), server=False)
        running = group.create_task(session.run())
        headers = {"port": "8080", "requestID": "0"}
        error = await session.open({"streamType": "error", **headers})
        data = await session.open({"streamType": "data", **headers})
        await error.close()
        await data.write(REQUEST)
        assert (await data.read_all()).endswith(b"served\n")
        running.cancel()


async def test_port_forward_through_channels(node: Node) -> None:
    async with websocket(node, "/portForward/default/web?port=8080", "v4.channel.k8s.io") as socket:
        assert {await socket.recv(), await socket.recv()} == {b"\x00\x90\x1f", b"\x01\x90\x1f"}
        await socket.send(b"\x00" + REQUEST)
        received = b""
        while not received.endswith(b"served\n"):
            message = await socket.recv()
            assert isinstance(message, bytes)
            received += message[1:]


async def get(node: Node, path: str, tls: ssl.SSLContext) -> tuple[int, bytes]:
    answer = await open_upgrade("GET", node.url(path, "https"), [("Connection", "close")], tls=tls)
    body = b""
    while data := await answer.duplex.read():
        body += data
    await answer.duplex.close()
    return answer.status, body


async def test_logs_of_the_container(node: Node) -> None:
    status, body = await get(node, "/containerLogs/default/web/c?tailLines=1&follow=false", node.tls)

    assert status == 200
    assert b"started" in body or b"from 1" in body


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/containerLogs/default/gone/c", 404, b"pod does not exist"),
        ("/containerLogs/default/web/x", 404, b"container x not found in pod web"),
        (
            "/containerLogs/default/web/c?previous=true",
            400,
            b'previous terminated container "c" in pod "web" not found',
        ),
        ("/exec/default/web/c?command=ls", 400, b"you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/default/web/c?output=1&command=ls", 400, b"Upgrade request required"),
        ("/exec/default/web", 404, b"404 page not found"),
        ("/nothing", 404, b"404 page not found"),
    ],
)
async def test_bad_requests_are_told_why(node: Node, path: str, status: int, text: bytes) -> None:
    answered, body = await get(node, path, node.tls)

    assert (answered, text in body) == (status, True)


async def test_client_without_certificate_is_unauthorized(node: Node) -> None:
    bare = ssl.create_default_context()
    bare.check_hostname = False
    bare.verify_mode = ssl.CERT_NONE

    assert (await get(node, "/containerLogs/default/web/c", bare))[0] == 401
    assert (await get(node, "/healthz", bare))[0] == 401
    assert (await get(node, "/healthz", node.tls))[0] == 200
