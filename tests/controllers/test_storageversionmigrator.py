"""Migrations of what is stored: every object is written once more, and the migration says how it went."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from kplane.api.clock import Entropy, SystemClock, rfc3339
from kplane.api.errors import Conflict, Forbidden
from kplane.api.resource import Object
from kplane.api.types import ConfigMap
from kplane.api.types.meta import condition
from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.controllers.storageversionmigrator import Migration, StorageVersionMigrator
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import make_configmap, make_object
from kplane.testing.waiting import eventually


def make_migration(resource: str = "configmaps", group: str = "") -> Object:
    spec = {"resource": {"group": group, "resource": resource}}
    return make_object(Migration.API.api_version, Migration.API.kind, "again", spec=spec, status={})


async def run(cluster: DiscoverableCluster, *objects: Object) -> None:
    made = make_migration() if not objects else objects[0]
    made["metadata"]["creationTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(made, *objects[1:])
    context = cluster.context()
    cluster.start(context.queue.run(StorageVersionMigrator(context).reconcile))
    await cluster.settle()


def says(cluster: DiscoverableCluster) -> dict[str, tuple[str, str, str]]:
    [found] = cluster.list(Migration)
    return {entry.type: (entry.status, entry.reason, entry.message) for entry in found.status.conditions}


async def test_every_object_is_written_and_success_told(discoverable: DiscoverableCluster) -> None:
    maps = [make_configmap(f"map-{number}") for number in range(3)]
    await run(discoverable, make_migration(), *maps)
    [found] = discoverable.list(Migration)
    assert found.status.resource_version
    assert says(discoverable) == {
        "Running": ("False", "StorageVersionMigrationInProgress", ""),
        "Succeeded": ("True", "StorageVersionMigrationSucceeded", ""),
    }


async def test_objects_that_changed_in_the_meantime_are_passed_over(
    discoverable: DiscoverableCluster,
) -> None:
    discoverable.faults.fail_next(Conflict("modified"), plural="configmaps", methods=("PATCH",))
    await run(discoverable, make_migration(), make_configmap())
    assert says(discoverable)["Succeeded"][0] == "True"


async def test_a_refused_write_ends_the_migration(discoverable: DiscoverableCluster) -> None:
    discoverable.faults.fail_next(Forbidden("no"), plural="configmaps", methods=("PATCH",))
    await run(discoverable, make_migration(), make_configmap())
    assert says(discoverable) == {
        "Running": ("False", "StorageVersionMigrationInProgress", ""),
        "Failed": ("True", "StorageVersionMigrationFailed", "migration encountered unhandled error"),
    }


async def test_a_resource_that_does_not_come_is_told_of(discoverable: DiscoverableCluster) -> None:
    await run(discoverable, make_migration("toys", "example.com"))
    at_first = says(discoverable)
    await discoverable.advance(70)
    assert at_first == {}
    assert says(discoverable) == {"Failed": ("True", "StorageVersionMigrationFailed", "resource not found")}


@pytest.mark.slow
async def test_the_api_server_takes_what_a_migration_writes(tmp_path: Path) -> None:
    listed = tmp_path / "tokens.csv"
    listed.write_text('secret,admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=listed,
        authorization=AuthorizationSettings(modes=("RBAC",)),
    )
    async with ApiServer(config) as server:
        client = Client(AsgiTransport(server.app, token="secret"))
        await client.create(ConfigMap, {"metadata": {"name": "kept", "namespace": "kube-system"}})
        options = Config(controllers=("storage-version-migrator-controller",))
        running = asyncio.create_task(Manager(client, SystemClock(), Entropy(), options).run())
        sent = make_migration() | {"metadata": {"name": "again"}}
        sent.pop("status")
        await client.create(Migration, sent)

        async def over() -> Migration | None:
            found = await client.get(Migration, "again")
            return found if condition(found.status.conditions, "Succeeded") else None

        found: Migration = await eventually(over)
        assert not found.has("Failed")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
