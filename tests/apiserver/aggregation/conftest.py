"""A server with a proxy client certificate, and Services that lead to an extension server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.runtime import pki

from ..conftest import Api
from .extension import GROUP, HOST, Extension

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"v1.{GROUP}"


@pytest.fixture
def front(tmp_path: Path) -> Path:
    """Keys of this cluster, the front proxy's among them."""
    pki.ensure(tmp_path / "front", server_names=["localhost"], server_ips=["127.0.0.1"])
    return tmp_path / "front"


@pytest.fixture
def config(config: ApiServerConfig, front: Path) -> ApiServerConfig:
    return replace(
        config,
        client_ca_file=front / "ca.crt",
        proxy_client_cert_file=front / "front-proxy-client.crt",
        proxy_client_key_file=front / "front-proxy-client.key",
        requestheader_client_ca_file=front / "front-proxy-ca.crt",
        requestheader_allowed_names=("front-proxy-client",),
        requestheader_username_headers=("X-Remote-User",),
        requestheader_group_headers=("X-Remote-Group",),
        requestheader_extra_headers_prefix=("X-Remote-Extra-",),
    )


def apiservice(extension: Extension | None = None, **spec: Any) -> dict[str, Any]:
    bundle = {"caBundle": extension.bundle} if extension else {}
    service = {"namespace": "default", "name": "flowers"}
    wanted = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 10,
        "service": service,
    }
    found = {name: value for name, value in (wanted | bundle | spec).items() if value is not None}
    name = f"{found['version']}.{found.get('group', '')}"
    return {"metadata": {"name": name}, "spec": found}


async def make_service(api: Api, port: int) -> None:
    """The Service `flowers` on port 443 and an EndpointSlice."""
    spec = {"ports": [{"name": "https", "port": 443, "targetPort": port}]}
    await api.make("/api/v1/namespaces/default/services", {"metadata": {"name": "flowers"}, "spec": spec})
    await make_slice(api, port)


async def make_slice(api: Api, port: int) -> None:
    body = {
        "metadata": {"name": "flowers-1", "labels": {"kubernetes.io/service-name": "flowers"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [HOST], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port}],
    }
    await api.make("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", body)


async def condition(api: Api, holds: Callable[[Any], bool], name: str = NAME) -> Any:
    """The Available condition, as soon as it is what is waited for."""
    answer = await api("GET", SERVICES)
    seen = [obj for obj in answer.body["items"] if obj["metadata"]["name"] == name]
    if seen and (found := _available(seen[0])) and holds(found):
        return found
    query = {"watch": "true", "resourceVersion": answer.body["metadata"]["resourceVersion"]}
    headers = {"accept": "application/json"}
    async with (
        asyncio.timeout(10),
        api.transport.stream("GET", SERVICES, query=query, headers=headers) as stream,
    ):
        async for line in stream.lines():
            obj = json.loads(line)["object"]
            found = _available(obj)
            if obj["metadata"]["name"] == name and found and holds(found):
                return found
    raise AssertionError("the watch ended")


def _available(obj: Any) -> Any:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == "Available"), None)


def because(reason: str) -> Callable[[Any], bool]:
    return lambda found: bool(found["reason"] == reason)


async def join(api: Api, extension: Extension, **spec: Any) -> None:
    """Register the extension server, and wait until it is available."""
    await make_service(api, extension.port)
    await api.make(SERVICES, apiservice(extension, **spec))
    await condition(api, because("Passed"))
