"""An API server over HTTPS that asks RBAC, and ports whose callers it judges."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import Entropy
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki
from kplane.runtime.delegation.secureport import secure_port
from kplane.runtime.delegation.settings import DelegationSettings
from kplane.runtime.health import component_app
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing.clock import VirtualClock

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass
class Cluster:
    """`requests`: what the API server was asked over HTTPS."""

    keys: Path
    clock: VirtualClock
    admin: Client
    port: int
    requests: list[str]
    listening: AsyncExitStack

    async def stop(self) -> None:
        """The API server cannot be reached from now on."""
        await self.listening.aclose()

    def identity(self, name: str) -> Path:
        """A kubeconfig with the certificate of that name."""
        path = self.keys / f"{name}-{self.port}.conf"
        credentials = Credentials(
            server=f"https://localhost:{self.port}",
            ca=(self.keys / "ca.crt").read_bytes(),
            certificate=(self.keys / f"{name}.crt").read_bytes(),
            key=(self.keys / f"{name}.key").read_bytes(),
        )
        kubeconfig.write(path, credentials, user=name)
        return path

    def settings(self, name: str = "kube-scheduler", **more: Any) -> DelegationSettings:
        """Those of a component that asks as this one."""
        given: dict[str, Any] = {
            "authentication_kubeconfig": self.identity(name),
            "authorization_kubeconfig": self.identity(name),
            "client_ca_file": self.keys / "ca.crt",
        }
        return DelegationSettings(**(given | more))

    @asynccontextmanager
    async def open(self, settings: DelegationSettings) -> AsyncIterator[Port]:
        serving = ServingConfig("127.0.0.1", 0, self.keys / "apiserver.crt", self.keys / "apiserver.key")
        async with secure_port(component_app({}), serving, settings, self.clock, Entropy(1)) as listening:
            yield Port(listening.port, self.keys)

    async def account(self, name: str) -> str:
        """A new service account's token."""
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await self.admin.raw("POST", accounts, body={"metadata": {"name": name}})
        answer = await self.admin.raw("POST", f"{accounts}/{name}/token", body={"spec": {}})
        token: str = json.loads(answer)["status"]["token"]
        return token

    async def allow(self, account: str, *paths: str) -> None:
        """Give the account a ClusterRole to get these paths."""
        role = {"metadata": {"name": account}, "rules": [{"nonResourceURLs": paths, "verbs": ["get"]}]}
        await self.admin.raw("POST", f"{RBAC}/clusterroles", body=role)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account}
        subject = {"kind": "ServiceAccount", "name": account, "namespace": "default"}
        binding = {"metadata": {"name": account}, "roleRef": reference, "subjects": [subject]}
        await self.admin.raw("POST", f"{RBAC}/clusterrolebindings", body=binding)


@dataclass
class Port:
    port: int
    keys: Path

    async def get(
        self, path: str, *, token: str = "", certificate: str = "", method: str = "GET"
    ) -> tuple[int, str]:
        """Status and body."""
        tls = ssl.create_default_context(cafile=str(self.keys / "ca.crt"))
        if certificate:
            tls.load_cert_chain(self.keys / f"{certificate}.crt", self.keys / f"{certificate}.key")
        reader, writer = await asyncio.open_connection("localhost", self.port, ssl=tls)
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n\r\n".encode())
        try:
            async with asyncio.timeout(20):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head:
            raise ConnectionResetError
        return int(head.split()[1]), body.decode()

    async def status(self, path: str, **how: str) -> int:
        return (await self.get(path, **how))[0]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster's certificates, and `stranger`: a super-admin of another one."""
    folder, stranger = tmp_path_factory.mktemp("pki"), tmp_path_factory.mktemp("stranger")
    for each in (folder, stranger):
        pki.ensure(each, server_names=["localhost"], server_ips=["127.0.0.1"])
    for suffix in ("crt", "key"):
        (folder / f"stranger.{suffix}").write_bytes((stranger / f"super-admin.{suffix}").read_bytes())
    (folder / "stranger-ca.crt").write_bytes((stranger / "ca.crt").read_bytes())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "tokens.key").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    return folder


def server_config(keys: Path, listed: Sequence[str]) -> ApiServerConfig:
    tokens = keys / "tokens.csv"
    tokens.write_text("".join(f"{line}\n" for line in listed))
    accounts = ServiceAccountSettings(issuers=("https://issuer",), signing_key_file=keys / "tokens.key")
    return ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        client_ca_file=keys / "ca.crt",
        authentication=AuthenticationSettings(service_accounts=accounts),
        authorization=AuthorizationSettings(modes=("Node", "RBAC")),
    )


@pytest_asyncio.fixture
async def cluster(keys: Path) -> AsyncIterator[Cluster]:
    serving = ServingConfig(
        "127.0.0.1", 0, keys / "apiserver.crt", keys / "apiserver.key", client_ca_file=keys / "ca.crt"
    )
    requests: list[str] = []
    async with (
        ApiServer(server_config(keys, ["secret,admin,1,system:masters"])) as server,
        AsyncExitStack() as stack,
    ):

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            requests.append(scope["path"].rpartition("/")[2])
            await server.app(scope, receive, send)

        listening = await stack.enter_async_context(Serving(noting, serving))
        clock = VirtualClock(datetime.now(UTC))
        admin = Client(AsgiTransport(server.app, token="secret"))
        yield Cluster(keys, clock, admin, listening.port, requests, stack)
