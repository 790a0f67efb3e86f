"""The client against real TLS servers, good and bad ones."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.apiserver.webhooks.client import WebhookClient
from kplane.apiserver.webhooks.errors import (
    BadAnswer,
    BadClientConfig,
    BadStatus,
    Broken,
    CallError,
    CallTimeout,
    DialError,
    TlsError,
    Unresolved,
)
from kplane.apiserver.webhooks.services import ServiceResolver
from kplane.runtime import pki
from kplane.testing.clock import VirtualClock

from ..webhookserver import Handler, Received, Reply, WebhookServer, answering

OK = answering({"kind": "Answer"})


class Cluster:
    """Services and EndpointSlices, as the watch cache would tell them."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, str], dict[str, Any]] = {}
        self.slices: list[dict[str, Any]] = []

    async def service(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self.services.get((namespace, name))

    async def slices_of(self, namespace: str, name: str) -> list[dict[str, Any]]:
        return self.slices

    def serve(self, port: int, *, ready: bool = True, service_port: int = 443) -> None:
        spec = {"ports": [{"name": "https", "port": service_port}]}
        self.services["default", "hook"] = {"spec": spec}
        endpoint: dict[str, Any] = {"addresses": ["127.0.0.1"], "conditions": {"ready": ready}}
        self.slices.append({"ports": [{"name": "https", "port": port}], "endpoints": [endpoint]})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[WebhookClient]:
    client = WebhookClient(ServiceResolver(cluster.service, cluster.slices_of, Entropy(1)))
    yield client
    await client.close()


@pytest.fixture(scope="module")
def keys() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "pki"


async def test_posts_the_body_and_returns_the_answer(client: WebhookClient, keys: Path) -> None:
    async with WebhookServer(keys, OK) as server:
        answer = await client.call(server.by_url("/mutate"), {"kind": "Question"}, 10)

    assert answer == {"kind": "Answer"}
    [received] = server.received
    assert received.body == {"kind": "Question"}
    assert received.path == "/mutate?timeout=10s"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == "kube-apiserver-admission"


async def test_a_service_is_reached_through_its_ready_endpoints(
    client: WebhookClient, cluster: Cluster, keys: Path
) -> None:
    async with WebhookServer(keys, OK) as server:
        cluster.serve(1, ready=False)
        cluster.serve(server.port)
        config = {
            "service": {"name": "hook", "namespace": "default", "path": "/a/b"},
            "caBundle": server.bundle,
        }
        await client.call(config, {}, 61)

    assert server.received[0].path == "/a/b?timeout=1m1s"
    assert server.received[0].headers["host"] == "hook.default.svc:443"


async def test_connections_are_kept(client: WebhookClient, keys: Path) -> None:
    async with WebhookServer(keys, OK) as server:
        for _ in range(3):
            await client.call(server.by_url(), {}, 10)

    assert server.connections == 1


async def test_a_kept_connection_that_the_server_closed_is_replaced(
    client: WebhookClient, keys: Path
) -> None:
    async def ends_while_asked(received: Received) -> Reply | bytes:
        return b"" if len(server.received) == 2 else Reply(body=b"{}")

    async with WebhookServer(keys, ends_while_asked) as server:
        await client.call(server.by_url(), {}, 10)
        assert await client.call(server.by_url(), {}, 10) == {}

    assert (server.connections, len(server.received)) == (2, 3)


async def test_a_server_that_hangs_up_on_a_fresh_connection_is_not_asked_again(
    client: WebhookClient, keys: Path
) -> None:
    async def hangs_up(received: Received) -> bytes:
        return b""

    async with WebhookServer(keys, hangs_up) as server:
        with pytest.raises(Broken, match=r": EOF$"):
            await client.call(server.by_url(), {}, 10)

    assert len(server.received) == 1


async def _hangs(received: Received) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


async def _garbage(received: Received) -> Reply:
    return Reply(body=b"<html>")


async def _nothing(received: Received) -> Reply:
    return Reply()


async def _list(received: Received) -> Reply:
    return Reply(body=b"[1]")


async def _half(received: Received) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"


async def _no_http(received: Received) -> bytes:
    return b"SSH-2.0-OpenSSH_9.6\r\n\r\n"


async def _fails(received: Received) -> Reply:
    return Reply(500, b'it "broke"', {"content-type": "text/plain"})


async def _redirects(received: Received) -> Reply:
    return Reply(307, b"", {"location": "https://127.0.0.1:1/elsewhere"})


BAD_SERVERS = {
    "hangs": (
        _hangs,
        CallTimeout,
        r'^Post "https://127.0.0.1:\d+/hook\?timeout=1s": context deadline exceeded$',
    ),
    "garbage": (_garbage, BadAnswer, "^couldn't get version/kind; json parse error: invalid character '<'"),
    "empty": (_nothing, BadAnswer, "^0-length response with status code: 200 and content type: app"),
    "list": (_list, BadAnswer, "^couldn't get version/kind; json parse error: json: cannot unmarshal array"),
    "half": (_half, Broken, r"unexpected EOF$"),
    "no-http": (_no_http, Broken, r"malformed HTTP response$"),
    "500": (
        _fails,
        BadStatus,
        r'^an error on the server \("it \\"broke\\""\) has prevented the request from',
    ),
    "redirect": (_redirects, BadStatus, "^the server responded with the status code 307 "),
    "404": (answering({}, 404), BadStatus, r"^the server could not find the requested resource$"),
}


@pytest.mark.parametrize(
    ("handler", "error", "text"), [pytest.param(*row, id=name) for name, row in BAD_SERVERS.items()]
)
async def test_a_bad_server_is_told_apart(
    client: WebhookClient, keys: Path, handler: Handler, error: type[CallError], text: str
) -> None:
    timeout = 0.05 if error is CallTimeout else 10
    async with WebhookServer(keys, handler) as server:
        with pytest.raises(error, match=text):
            await client.call(server.by_url(), {}, timeout)


async def test_a_huge_answer_is_not_read_to_its_end(client: WebhookClient, keys: Path) -> None:
    async def huge(received: Received) -> Reply:
        return Reply(body=b'{"x": "' + b"y" * 5_000_000 + b'"}')

    async with WebhookServer(keys, huge) as server:
        with pytest.raises(BadAnswer, match="the response is larger than 1000 bytes"):
            await client.call(server.by_url(), {}, 10, limit=1000)


async def test_a_certificate_of_another_authority_is_refused(
    client: WebhookClient, keys: Path, tmp_path: Path
) -> None:
    async with WebhookServer(keys, OK) as server, WebhookServer(tmp_path / "other", OK) as other:
        config = server.by_url() | {"caBundle": other.bundle}
        with pytest.raises(
            TlsError, match="tls: failed to verify certificate: x509: certificate signed by unknown"
        ):
            await client.call(config, {}, 10)
        with pytest.raises(TlsError, match="unknown authority"):
            await client.call({"url": config["url"]}, {}, 10)

    assert not server.received


async def test_the_certificate_must_be_for_the_service(
    client: WebhookClient, cluster: Cluster, tmp_path: Path
) -> None:
    async with WebhookServer(tmp_path / "pki", OK, names=("another.default.svc",)) as server:
        cluster.serve(server.port)
        config = {"service": {"name": "hook", "namespace": "default"}, "caBundle": server.bundle}
        with pytest.raises(TlsError, match=r"x509: certificate is not valid for hook.default.svc"):
            await client.call(config, {}, 10)


async def test_nobody_listens(client: WebhookClient, cluster: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        cluster.serve(port)
        refused = rf"dial tcp 127.0.0.1:{port}: connect: connection refused$"
        with pytest.raises(DialError, match=refused):
            await client.call({"url": f"https://127.0.0.1:{port}"}, {}, 10)
        with pytest.raises(
            DialError, match=rf'^Post "https://hook.default.svc:443/\?timeout=10s": {refused}'
        ):
            await client.call({"service": {"name": "hook", "namespace": "default"}}, {}, 10)


@pytest.mark.parametrize(
    ("arrange", "text"),
    [
        pytest.param(lambda cluster: None, 'service "hook" not found', id="absent"),
        pytest.param(
            lambda cluster: cluster.serve(1, service_port=8443),
            'no service port 443 found for service "hook"',
            id="port",
        ),
        pytest.param(
            lambda cluster: cluster.serve(1, ready=False),
            'no endpoints available for service "hook"',
            id="unready",
        ),
    ],
)
async def test_a_service_that_cannot_be_resolved(
    client: WebhookClient, cluster: Cluster, arrange: Any, text: str
) -> None:
    arrange(cluster)

    with pytest.raises(
        Unresolved, match=re.escape(f'Post "https://hook.default.svc:443/?timeout=5s": {text}')
    ):
        await client.call({"service": {"name": "hook", "namespace": "default"}}, {}, 5)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        pytest.param({}, "webhook configuration must have either service or URL", id="neither"),
        pytest.param(
            {"url": "https://x", "caBundle": "bm90IFBFTQ=="},
            "unable to load root certificates: unable to parse bytes as PEM block",
            id="bundle",
        ),
    ],
)
async def test_a_configuration_that_names_no_server(
    client: WebhookClient, config: dict[str, Any], text: str
) -> None:
    with pytest.raises(BadClientConfig, match=re.escape(text)):
        await client.call(config, {}, 5)


async def test_an_expired_certificate_is_refused(client: WebhookClient, tmp_path: Path) -> None:
    long_ago = VirtualClock(datetime(2001, 1, 1, tzinfo=UTC))
    pki.ensure(tmp_path / "old", server_names=[], server_ips=[], clock=long_ago)
    async with WebhookServer(tmp_path / "old", OK) as server:
        with pytest.raises(TlsError, match=r"x509: certificate has expired or is not yet valid"):
            await client.call(server.by_url(), {}, 10)


async def test_an_external_name_is_dialled_as_it_is(
    client: WebhookClient, cluster: Cluster, keys: Path
) -> None:
    async with WebhookServer(keys, OK) as server:
        spec = {"type": "ExternalName", "externalName": "127.0.0.1"}
        cluster.services["default", "hook"] = {"spec": spec}
        service = {"name": "hook", "namespace": "default", "port": server.port}
        await client.call({"service": service, "caBundle": server.bundle}, {}, 10)

    assert server.received[0].headers["host"] == f"hook.default.svc:{server.port}"
