"""kubectl and an extension server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ..kubectl import Kubectl
from .conftest import NAME, apiservice
from .extension import GROUP, HOST, extension


@pytest.mark.slow
async def test_kubectl_lists_resources_of_an_extension_server(kubectl: Kubectl, tmp_path: Path) -> None:
    async with extension(tmp_path / "ext") as server:
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "flowers", "namespace": "default"},
            "spec": {"ports": [{"name": "https", "port": 443}]},
        }
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "flowers-1",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "flowers"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST]}],
            "ports": [{"name": "https", "port": server.port}],
        }
        registered = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"} | apiservice(server)
        for obj in (service, endpoints, registered):
            await kubectl("create", "-f", "-", stdin=json.dumps(obj))
        await kubectl("wait", "--for=condition=Available", f"apiservice/{NAME}", "--timeout=10s")

        async with asyncio.timeout(20):
            # Its discovery is fetched right behind the condition.
            while "flowers" not in await kubectl("api-resources", f"--api-group={GROUP}"):
                await asyncio.sleep(0)
        listed = await kubectl("get", "flowers.v1.flowers.example.com", "-o", "name")
        services = await kubectl("get", "apiservices")

    assert listed == "flower.flowers.example.com/rose\n"
    lines = {line.split()[0]: line.split()[1:3] for line in services.splitlines()}
    assert lines[NAME] == ["default/flowers", "True"]
    assert lines["v1.apps"] == ["Local", "True"]
