"""A served API, and pods, services and nodes that lead to servers of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime.serving import Serving, ServingConfig

from ..conftest import Api, pod
from .backend import HOST

POD = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"


async def make_pod(api: Api, port: int, name: str = "web", ip: str = HOST) -> None:
    containers = [{"name": "c", "image": "web:1", "ports": [{"containerPort": port}]}]
    made = await api.make(POD, pod(name, containers=containers))
    made["status"] = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
    answer = await api("PUT", f"{POD}/{name}/status", made)
    assert answer.code == 200, answer.body


async def make_service(
    api: Api, ports: dict[str, int], addresses: list[dict[str, Any]] | None = None
) -> None:
    """A Service `web` on ports 80, 81, … with these names, and its Endpoints."""
    spec = {
        "ports": [{"name": name, "port": 80 + place} for place, name in enumerate(ports)],
        "selector": {"app": "web"},
    }
    await api.make(SERVICES, {"metadata": {"name": "web"}, "spec": spec})
    ready = [{"ip": HOST, "targetRef": {"kind": "Pod", "name": "web", "namespace": "default"}}]
    subset = {
        "addresses": ready if addresses is None else addresses,
        "ports": [{"name": name, "port": port} for name, port in ports.items()],
    }
    endpoints = {"metadata": {"name": "web"}, "subsets": [subset] if subset["addresses"] else []}
    await api.make("/api/v1/namespaces/default/endpoints", endpoints)


class Client:
    """Speaks with a served API over a real connection."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.session = aiohttp.ClientSession(
            headers={"Authorization": "Bearer secret"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def __call__(self, method: str, path: str, **more: Any) -> Any:
        return self.session.request(method, self.url + path, allow_redirects=False, **more)


@pytest.fixture
async def client(server: ApiServer, config: ApiServerConfig) -> AsyncIterator[Client]:
    async with Serving(server.app, ServingConfig(address="127.0.0.1", port=0)) as serving:
        client = Client(serving.port)
        async with client.session:
            yield client
