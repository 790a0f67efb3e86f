"""An extension API server, written for the tests: discovery and one resource, behind TLS."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig, hijack

from ..addresses import own_address

HOST = own_address()
GROUP = "flowers.example.com"
ROOT = f"/apis/{GROUP}/v1"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NAMES = ("flowers.default.svc",)


@dataclass
class Seen:
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    certificate: bool

    def all(self, name: str) -> list[str]:
        return [value for present, value in self.headers if present == name]


@dataclass
class Extension:
    """Serves Flowers; `port` is where."""

    keys: Path
    port: int = 0
    aggregated: bool = True
    healthy: bool = True
    seen: list[Seen] = field(default_factory=list)

    @property
    def bundle(self) -> str:
        return base64.b64encode((self.keys / "ca.crt").read_bytes()).decode()

    def asked(self, path: str) -> list[Seen]:
        return [entry for entry in self.seen if entry.path == path]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
        path = scope["path"]
        certificate = bool(scope["extensions"].get("tls", {}).get("client_cert"))
        self.seen.append(Seen(scope["method"], path, scope["query_string"].decode(), headers, certificate))
        if not self.healthy:
            await reply(send, {"message": "ill"}, 500)
        elif path == f"{ROOT}/shout" and (connection := hijack(scope)):
            reader, writer = await connection.take()
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
            while data := await reader.read(100):
                writer.write(data.upper())
            writer.close()
        elif path == f"{ROOT}/flowers" and b"watch" in scope["query_string"]:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b'{"type":"ADDED"}\n', "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
        elif path == f"{ROOT}/moved":
            await send({"type": "http.response.start", "status": 302, "headers": [(b"location", b"/secret")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._document(path, dict(headers).get("accept", ""), send)

    async def _document(self, path: str, accept: str, send: Any) -> None:
        if path == "/apis" and self.aggregated and "APIGroupDiscoveryList" in accept:
            await reply(send, aggregated(), kind=AGGREGATED)
            return
        documents = {
            ROOT: plain(),
            f"{ROOT}/flowers": {"kind": "FlowerList", "apiVersion": f"{GROUP}/v1", "items": [flower("rose")]},
            f"{ROOT}/namespaces/default/flowers": {
                "kind": "FlowerList", "apiVersion": f"{GROUP}/v1", "items": [flower("rose")],
            },
            "/openapi/v2": openapi_v2(),
            "/openapi/v3": {"paths": {ROOT[1:]: {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=ABC"}}},
            f"/openapi/v3{ROOT}": {"openapi": "3.0.0", "info": {"title": "flowers"}, "paths": {}},
        }  # fmt: skip
        found = documents.get(path)
        await reply(
            send, found or {"kind": "Status", "code": 404, "message": "no such flower"}, 200 if found else 404
        )


def flower(name: str) -> dict[str, Any]:
    return {
        "kind": "Flower",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"},
    }


VERBS = ["get", "list", "watch"]


def plain() -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/v1",
        "resources": [
            {
                "name": "flowers",
                "singularName": "flower",
                "namespaced": True,
                "kind": "Flower",
                "verbs": VERBS,
            },
            {
                "name": "flowers/status",
                "singularName": "",
                "namespaced": True,
                "kind": "Flower",
                "verbs": ["get"],
            },
        ],
    }


def aggregated() -> dict[str, Any]:
    resource = {
        "resource": "flowers", "responseKind": {"group": "", "version": "", "kind": "Flower"},
        "scope": "Namespaced", "singularResource": "flower", "verbs": VERBS, "shortNames": ["fl"],
    }  # fmt: skip
    versions = [{"version": "v1", "resources": [resource], "freshness": "Current"}]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "items": [{"metadata": {"name": GROUP}, "versions": versions}],
    }


def openapi_v2() -> dict[str, Any]:
    """Brings a definition of its own, one that everybody has, and one whose name is taken."""
    reference = {"schema": {"$ref": "#/definitions/com.example.Flower"}}
    taken = "io.k8s.apimachinery.pkg.apis.meta.v1.Time"
    return {
        "swagger": "2.0",
        "paths": {
            f"{ROOT}/flowers": {"get": {"responses": {"200": reference}}},
            "/apis/other.example.com/v1/things": {"get": {}},
        },
        "definitions": {
            "com.example.Flower": {
                "type": "object",
                "properties": {"picked": {"$ref": f"#/definitions/{taken}"}},
            },
            taken: {"type": "integer"},
            "com.example.Unused": {"type": "object"},
        },
    }


async def reply(send: Any, body: Any, status: int = 200, kind: str = "application/json") -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]}
    )
    await send({"type": "http.response.body", "body": msgspec.json.encode(body)})


@asynccontextmanager
async def extension(folder: Path, ca: Path | None = None, **options: Any) -> AsyncIterator[Extension]:
    """`ca`: authority of the client certificates that it asks for."""
    pki.ensure(folder, server_names=["localhost", *NAMES], server_ips=[HOST])
    app = Extension(folder, **options)
    listen = ServingConfig(
        address="0.0.0.0",
        port=0,
        cert_file=folder / "apiserver.crt",
        key_file=folder / "apiserver.key",
        client_ca_file=ca,
    )
    async with Serving(app, listen) as serving:
        app.port = serving.port
        yield app
