"""An informer over TLS outlives the API server's restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kplane.api.clock import Clock, Entropy, SystemClock
from kplane.api.types import ConfigMap
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.informer import Informer
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, connect
from kplane.client.transport_asgi import AsgiTransport
from kplane.runtime.serving import Serving, ServingConfig, free_port


class HastyClock(SystemClock):
    """Waits a fiftieth of what it is asked to, so that backing off takes no time worth mentioning."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 50)


def serving(port: int, certificates: Path) -> ServingConfig:
    return ServingConfig(
        "127.0.0.1",
        port,
        certificates / "apiserver.crt",
        certificates / "apiserver.key",
        certificates / "ca.crt",
        grace_seconds=0,
    )


def credentials(port: int, certificates: Path) -> Credentials:
    return Credentials(
        f"https://127.0.0.1:{port}",
        ca=(certificates / "ca.crt").read_bytes(),
        certificate=(certificates / "admin.crt").read_bytes(),
        key=(certificates / "admin.key").read_bytes(),
    )


async def create(client: Client, name: str) -> None:
    await client.create(
        ConfigMap, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}, "default"
    )


@pytest.mark.slow
async def test_informer_outlives_restarts_of_the_server(certificates: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("t,admin,1,system:masters\n")
    config = ApiServerConfig(
        storage_dir=tmp_path / "store",
        token_auth_file=tokens,
        client_ca_file=certificates / "ca.crt",
        disable_admission_plugins=("ServiceAccount",),
    )
    port = free_port()
    client = connect(credentials(port, certificates))
    told: list[str] = []
    clock: Clock = HastyClock()
    informer = Informer(client, ConfigMap, clock=clock, entropy=Entropy(), namespace="default")
    changed = asyncio.Event()

    def note(old: ConfigMap | None, new: ConfigMap | None) -> None:
        assert old is None
        assert new is not None
        told.append(new.metadata.name)
        changed.set()

    informer.on_change(note)
    task = asyncio.create_task(informer.run())
    try:
        for name in ("first", "second", "third"):
            async with ApiServer(config) as server:
                inside = Client(AsgiTransport(server.app, token="t"))
                # Written while the informer cannot see the server.
                await create(inside, f"{name}-unseen")
                async with Serving(server.app, serving(port, certificates)), asyncio.timeout(10):
                    await create(inside, name)
                    while name not in told:
                        changed.clear()
                        await changed.wait()
    finally:
        task.cancel()
        await asyncio.wait([task])
        await client.close()

    names = ["first", "second", "third"]
    assert sorted(told) == sorted([*names, *(f"{name}-unseen" for name in names)])
