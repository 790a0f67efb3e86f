"""The servers that the contract holds for: the fake, the real API server in-process, and that over TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, connect
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime import pki
from kplane.runtime.serving import Serving, ServingConfig
from kplane.testing import FakeCluster

TOKEN = "contract-token"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure(directory, server_names=["localhost"], server_ips=["127.0.0.1"])
    return directory


@pytest.fixture(params=["fake", "asgi", "https"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    if request.param == "fake":
        async with FakeCluster() as cluster:
            yield cluster.client()
        return
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f"{TOKEN},admin,1,system:masters\n")
    certificates: Path = request.getfixturevalue("certificates")
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        disable_admission_plugins=("ServiceAccount",),
        client_ca_file=certificates / "ca.crt",
    )
    async with ApiServer(config) as server:
        if request.param == "asgi":
            yield Client(AsgiTransport(server.app, token=TOKEN))
            return
        async with over_tls(server, certificates) as connected:
            yield connected


@asynccontextmanager
async def over_tls(server: ApiServer, certificates: Path) -> AsyncIterator[Client]:
    serving = ServingConfig(
        "127.0.0.1",
        0,
        certificates / "apiserver.crt",
        certificates / "apiserver.key",
        certificates / "ca.crt",
    )
    async with Serving(server.app, serving) as listening:
        client = connect(
            Credentials(
                server=f"https://127.0.0.1:{listening.port}",
                ca=(certificates / "ca.crt").read_bytes(),
                certificate=(certificates / "admin.crt").read_bytes(),
                key=(certificates / "admin.key").read_bytes(),
            )
        )
        try:
            yield client
        finally:
            await client.close()
