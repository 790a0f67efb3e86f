"""kubectl itself reads discovery and OpenAPI, served by the smallest possible server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kplane.api.scheme import builtin
from kplane.apiserver.discovery import Discovery, Document, document, version_info
from kplane.apiserver.openapi import MEDIA_TYPE, OpenApi

KUBECTL = Path(sys.executable).with_name("kubectl")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Server:
    """Serves the documents of the built-in scheme; `aggregated` decides which form discovery has."""

    def __init__(self, *, aggregated: bool) -> None:
        scheme = builtin()
        self._discovery = Discovery(scheme, "127.0.0.1:6443")
        self._openapi = OpenApi(scheme)
        self._aggregated = aggregated

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(path, self._answer)
            for path in ("/version", "/api", "/apis", "/api/v1", "/apis/{group}/{version}", "/openapi/v2",
                         "/openapi/v3", "/openapi/v3/api/v1", "/openapi/v3/apis/{group}/{version}")
        ]  # fmt: skip

    async def _answer(self, request: web.Request) -> web.Response:
        made = self._document(request)
        if made is None:
            return web.Response(status=404)
        aggregated = self._aggregated and request.path in ("/api", "/apis")
        content_type = AGGREGATED if aggregated else "application/json"
        return web.Response(body=made.body, headers={"Content-Type": content_type, "ETag": made.etag})

    def _document(self, request: web.Request) -> Document | None:
        group = request.match_info.get("group", "")
        version = request.match_info.get("version", "v1")
        match request.path.split("/")[1:]:
            case ["version"]:
                return document(version_info())
            case ["api" | "apis" as root] if self._aggregated:
                return self._discovery.aggregated(legacy=root == "api")
            case ["api"]:
                return self._discovery.api()
            case ["apis"]:
                return self._discovery.apis()
            case ["openapi", "v2"]:
                wants_protobuf = MEDIA_TYPE in request.headers.get("Accept", "")
                return self._openapi.v2_protobuf() if wants_protobuf else self._openapi.v2()
            case ["openapi", "v3"]:
                return self._openapi.v3_index()
            case ["openapi", "v3", *_]:
                return self._openapi.v3(group, version)
            case _:
                return self._discovery.resources(group, version)


@pytest.fixture(params=[pytest.param(True, id="aggregated"), pytest.param(False, id="plain")])
async def address(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(Server(aggregated=request.param).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def kubectl(address: str, home: Path, *args: str, stdin: str = "") -> str:
    """What kubectl prints. Raises AssertionError with its complaint if it fails."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL), "--server", address, "--cache-dir", str(home / "cache"), *args,
        env={"HOME": str(home), "KUBECONFIG": str(home / "none")},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(stdin.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.slow
async def test_kubectl_lists_api_resources(address: str, tmp_path: Path) -> None:
    printed = await kubectl(address, tmp_path, "api-resources", "-o", "wide")

    rows = {line.split()[0]: line.split() for line in printed.splitlines()[1:]}
    assert rows["deployments"][1:5] == ["deploy", "apps/v1", "true", "Deployment"]
    assert rows["pods"][1:5] == ["po", "v1", "true", "Pod"]
    assert rows["nodes"][1:5] == ["no", "v1", "false", "Node"]
    assert rows["horizontalpodautoscalers"][2] == "autoscaling/v2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "texts"),
    [
        pytest.param("pod.spec.containers.ports", ["FIELD: ports <[]ContainerPort>"], id="list"),
        pytest.param("pod.spec.containers", ["name\t<string> -required-"], id="required"),
        pytest.param("pod.spec.restartPolicy", ["ENUM:", "OnFailure"], id="enumeration"),
        pytest.param("deployment", ["GROUP:      apps", "spec\t<DeploymentSpec>"], id="group"),
        pytest.param("pod.spec.containers.resources.limits", ["<map[string]Quantity>"], id="quantity"),
        pytest.param("service.spec.ports.targetPort", ["<IntOrString>"], id="int-or-string"),
        pytest.param("crd.spec.versions.schema.openAPIV3Schema", ["JSONSchemaProps"], id="recursive"),
    ],
)  # fmt: skip
async def test_kubectl_explains_fields(address: str, tmp_path: Path, path: str, texts: list[str]) -> None:
    printed = await kubectl(address, tmp_path, "explain", path)

    assert [text for text in texts if text not in printed] == []


@pytest.mark.slow
async def test_kubectl_explains_recursively(address: str, tmp_path: Path) -> None:
    printed = await kubectl(address, tmp_path, "explain", "deployment", "--recursive")

    assert "terminationGracePeriodSeconds" in printed


@pytest.mark.slow
async def test_kubectl_reads_the_v2_document(address: str, tmp_path: Path) -> None:
    printed = await kubectl(address, tmp_path, "explain", "pod.spec", "--output=plaintext-openapiv2")

    assert "restartPolicy\t<string>" in printed
    assert "containers\t<[]Object> -required-" in printed
