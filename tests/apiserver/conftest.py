"""A whole API server in this process, asked over ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from .kubectl import Kubectl

TOKENS = 'secret,admin,1,"system:masters"\nplain,someone,2\n'


class Answer(NamedTuple):
    code: int
    body: Any
    headers: Mapping[str, str]


class Api:
    """Speaks HTTP with a server as its administrator; bodies are objects, or bytes to be sent as they are."""

    def __init__(self, app: Any, token: str = "secret") -> None:
        self.transport = AsgiTransport(app, token=token)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": content_type, "accept": accept}
        response = await self.transport.request(method, path, query=query, headers=headers, body=data)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        found = json.loads(response.body) if is_json and response.body else response.body
        return Answer(response.status, found, response.headers)

    async def make(self, path: str, body: Any) -> Any:
        """Create, and fail loudly if that is refused."""
        answer = await self("POST", path, body)
        assert answer.code == 201, answer.body
        return answer.body

    async def events(self, path: str, count: int, **query: str) -> list[Any]:
        """The first events of a watch."""
        headers = {"accept": query.pop("accept", "application/json")}
        query["watch"] = "true"
        async with (
            asyncio.timeout(30),
            self.transport.stream("GET", path, query=query, headers=headers) as stream,
        ):
            lines = stream.lines()
            return [json.loads(await anext(lines)) for _ in range(count)]


@pytest.fixture
def config(tmp_path: Path) -> ApiServerConfig:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(TOKENS)
    return ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )


@pytest.fixture
def lasting(config: ApiServerConfig, tmp_path: Path) -> ApiServerConfig:
    """For servers that find what an earlier one has left."""
    return replace(config, storage_dir=tmp_path / "data")


@pytest.fixture
async def server(config: ApiServerConfig) -> AsyncIterator[ApiServer]:
    async with ApiServer(config) as server:
        yield server


@pytest.fixture
def api(server: ApiServer) -> Api:
    return Api(server.app)


@pytest.fixture
async def kubectl(config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Kubectl]:
    keys = tmp_path / "pki"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
    )
    config = replace(config, client_ca_file=keys / "ca.crt")
    async with ApiServer(config) as server, Serving(server.app, listen) as serving:
        yield Kubectl(serving.port, keys, tmp_path)


def configmap(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data or {"color": "blue"}}


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template} | spec,
    }


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "web:1"}]} | spec,
    }
