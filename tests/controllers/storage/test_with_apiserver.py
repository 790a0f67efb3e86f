"""Storage against the real API server: claims are bound, protected, and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock
from kplane.api.errors import AlreadyExists, NotFound
from kplane.api.resource import Object
from kplane.api.types import Namespace, Pod
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.testing.storage import make_claim, make_storage_class, make_volume
from kplane.testing.waiting import eventually

NAMES = tuple(f"{name}-controller" for name in (
    "persistentvolume-binder", "persistentvolume-protection", "persistentvolumeclaim-protection",
    "ephemeral-volume", "garbage-collector",
))  # fmt: skip


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY, token_auth_file=tokens, bind_address="127.0.0.1",
        disable_admission_plugins=("ServiceAccount",),
    )  # fmt: skip
    async with ApiServer(config) as server:
        client = Client(AsgiTransport(server.app, token="secret"))
        manager = Manager(client, SystemClock(), Entropy(), Config(controllers=NAMES))
        with suppress(AlreadyExists):
            await client.create(Namespace, {"metadata": {"name": "default"}})
        controllers = asyncio.create_task(manager.run())
        yield client
        controllers.cancel()
        with suppress(asyncio.CancelledError):
            await controllers


def fresh(obj: Object) -> Object:
    """What a user sends."""
    metadata = obj["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace", "annotations") if name in metadata}
    return {name: value for name, value in obj.items() if name != "status"} | {"metadata": kept}


def pod(**volume: object) -> Object:
    container = {"name": "c", "image": "web:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    spec = {"nodeName": "node-1", "containers": [container], "volumes": [{"name": "v", **volume}]}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


async def phases(client: Client) -> tuple[str, str]:
    claim = await client.get(PersistentVolumeClaim, "data", "default")
    volume = await client.get(PersistentVolume, "disk")
    return claim.status.phase, volume.status.phase


async def gone(client: Client, what: type, name: str, namespace: str = "") -> bool:
    try:
        await client.get(what, name, namespace)
    except NotFound:
        return True
    return False


@pytest.mark.slow
async def test_a_claim_is_bound_used_protected_and_its_volume_given_back(client: Client) -> None:
    await client.create(PersistentVolume, fresh(make_volume()))
    await client.create(PersistentVolumeClaim, fresh(make_claim()))

    async def bound() -> bool | None:
        return await phases(client) == ("Bound", "Bound")

    assert await eventually(bound)
    await client.create(Pod, pod(persistentVolumeClaim={"claimName": "data"}))
    await client.delete(PersistentVolume, "disk")
    await client.delete(PersistentVolumeClaim, "data", "default")
    until = SystemClock().monotonic() + 0.2

    async def kept() -> bool | None:
        assert not await gone(client, PersistentVolumeClaim, "data", "default")
        assert not await gone(client, PersistentVolume, "disk")
        return SystemClock().monotonic() > until

    assert await eventually(kept)
    await client.delete(Pod, "web", "default", grace_seconds=0)

    async def both_gone() -> bool | None:
        return await gone(client, PersistentVolumeClaim, "data", "default") and await gone(
            client, PersistentVolume, "disk"
        )

    assert await eventually(both_gone)


@pytest.mark.slow
async def test_an_ephemeral_volume_is_asked_for_and_goes_with_its_pod(client: Client) -> None:
    await client.create(StorageClass, fresh(make_storage_class()))
    spec = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}},
    }  # fmt: skip
    await client.create(Pod, pod(ephemeral={"volumeClaimTemplate": {"spec": spec}}))

    async def asked() -> bool | None:
        if await gone(client, PersistentVolumeClaim, "web-v", "default"):
            return False
        claim = await client.get(PersistentVolumeClaim, "web-v", "default")
        return "volume.kubernetes.io/storage-provisioner" in claim.metadata.annotations

    assert await eventually(asked)
    await client.delete(Pod, "web", "default", grace_seconds=0)

    async def claim_gone() -> bool | None:
        return await gone(client, PersistentVolumeClaim, "web-v", "default")

    assert await eventually(claim_gone)
