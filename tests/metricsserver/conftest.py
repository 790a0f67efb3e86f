"""A metrics server over a fake cluster and fake kubelets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest_asyncio
from prometheus_client import CollectorRegistry

from kplane.api.errors import Unreachable
from kplane.api.resource import Object
from kplane.api.types import Node
from kplane.client.transport import Response, Stream
from kplane.metricsserver.api import Health, MetricsApi
from kplane.metricsserver.metrics import Metrics
from kplane.metricsserver.objects import Viewer
from kplane.metricsserver.scraper import Scraper, Target
from kplane.metricsserver.usage import Usage
from kplane.metricsserver.views import Pod
from kplane.runtime.health import component_app
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_pod


@dataclass
class Kubelet:
    """A node server that tells `text`, or does not answer where it is None."""

    text: str | None
    status: int = 200
    asked: int = 0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        self.asked += 1
        if self.text is None:
            raise Unreachable("connection refused")
        assert (method, path) == ("GET", "/metrics/resource")
        return Response(self.status, {}, self.text.encode())

    def stream(self, *arguments: Any, **options: Any) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class World:
    """`ask` calls the API as the front proxy does, which has been let in."""

    cluster: FakeCluster
    scraper: Scraper
    app: MetricsApi
    registry: CollectorRegistry
    kubelets: dict[Target, Kubelet] = field(default_factory=dict)

    def add_node(self, name: str, address: str, port: int = 10250, **options: Any) -> Kubelet:
        node = make_node(name, **options)
        node["status"] |= {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self.cluster.load(node)
        return self.kubelets.setdefault(Target(address, port), Kubelet(""))

    def add_pod(self, name: str, node: str, **options: Any) -> None:
        self.cluster.load(make_pod(name, node=node, ready=True, **options))

    async def ask(self, path: str, *, method: str = "GET", accept: str = "") -> tuple[int, Object]:
        status, body = await self.call(path, method, [(b"accept", accept.encode())])
        return status, msgspec.json.decode(body)

    async def call(
        self, path: str, method: str, headers: list[tuple[bytes, bytes]], certificate: bytes | None = None
    ) -> tuple[int, bytes]:
        base, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http", "method": method, "path": base, "query_string": query.encode(),
            "headers": headers, "extensions": {"tls": {"client_cert": certificate}},
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, None, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


class Open(MetricsApi):
    """Lets everybody in: who may ask has tests of its own."""

    def _admit(self, scope: Any) -> None:
        """Nobody is asked."""


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with FakeCluster() as cluster:
        context = cluster.context()
        nodes, pods, usage = context.informer(Node), context.informer(Pod), Usage()
        kubelets: dict[Target, Kubelet] = {}
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        scraper = Scraper(
            nodes, usage, kubelets.__getitem__, cluster.clock, metrics,
            address_types=("InternalIP", "Hostname"), resolution=15,
        )  # fmt: skip
        health = Health(component_app({}), component_app({}))
        app = Open(Viewer(usage), nodes, pods, cluster.clock, health, metrics)
        yield World(cluster, scraper, app, registry, kubelets)
