"""Servers with RBAC, and a raw connection for requests that no honest client would send."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig

from ..auth.rbac.conftest import Guarded, guarded, rbac_config

__all__ = ["guarded", "rbac_config"]

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()


@dataclass
class Wire:
    """A server behind TLS, written to byte by byte. `refused`: the answer of a handshake that failed."""

    port: int
    keys: Path
    guarded: Guarded
    refused = (0, {})

    async def whoami(self, *headers: str, certificate: str = "", folder: Path | None = None) -> Any:
        """Code and user, or the code and the Status of a refusal."""
        lines = [*headers, "Content-Type: application/json", f"Content-Length: {len(REVIEW)}"]
        code, body = await self.send(
            "POST", WHOAMI, *lines, body=REVIEW, certificate=certificate, folder=folder
        )
        return code, body["status"]["userInfo"] if code == 201 else body

    async def send(
        self,
        method: str,
        path: str,
        *headers: str,
        body: bytes = b"",
        certificate: str = "",
        folder: Path | None = None,
    ) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(10):
                return await self._exchange(method, path, headers, body, certificate, folder or self.keys)
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return self.refused

    async def _exchange(
        self, method: str, path: str, headers: Any, body: bytes, certificate: str, folder: Path
    ) -> tuple[int, Any]:
        context = ssl.create_default_context(cafile=str(self.keys / "ca.crt"))
        if certificate:
            context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
            writer.write("\r\n".join(lines).encode("latin-1") + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            code, rest = int(head.split(" ")[1]), await reader.read()
        finally:
            writer.close()
        if "transfer-encoding: chunked" in head.lower():
            rest = unchunked(rest)
        try:
            return code, json.loads(rest)
        except ValueError:
            return code, {"message": rest.decode("latin-1")}


def unchunked(data: bytes) -> bytes:
    found = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        found, data = found + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return found


@pytest.fixture
async def wire(rbac_config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Wire]:
    """Knows client certificates, tokens, and a front proxy."""
    keys = tmp_path / "pki"
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    listen = ServingConfig(
        address="127.0.0.1",
        port=0,
        cert_file=keys / "apiserver.crt",
        key_file=keys / "apiserver.key",
        client_ca_file=keys / "ca.crt",
        further_client_ca_file=keys / "front-proxy-ca.crt",
    )
    settings = replace(
        rbac_config,
        client_ca_file=keys / "ca.crt",
        requestheader_client_ca_file=keys / "front-proxy-ca.crt",
        requestheader_allowed_names=("front-proxy-client",),
        requestheader_username_headers=("X-Remote-User",),
        requestheader_group_headers=("X-Remote-Group",),
        requestheader_extra_headers_prefix=("X-Remote-Extra-",),
    )
    async with ApiServer(settings) as server, Serving(server.app, listen) as serving:
        yield Wire(serving.port, keys, Guarded(server))
