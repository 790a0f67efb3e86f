"""Storage version migrator: every object of a resource is written once more, as it is, so that the store
holds it in the version that is stored today.

Reads: StorageVersionMigrations, from an informer cache; what is served, and the objects, live.
Writes: status of the migrations; the objects, by server-side apply of nothing.

Invariant: a write names the object's uid and revision: one that has changed, has gone or has come anew since
it was listed is refused, and needs no migration.

Source: pkg/controller/storageversionmigrator. Upstream takes the objects from the garbage collector's cache;
here they are listed in pages, which holds no resource in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from kplane.api.errors import ApiError, Conflict, NotFound, TooManyRequests
from kplane.api.resource import Key, Object, Resource
from kplane.api.types import Condition, PartialObjectMetadata, View
from kplane.api.types.meta import Part, condition
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

from .discovery import discover
from .status import condition_body, guarded

log = logging.getLogger(__name__)

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
REASONS = {
    RUNNING: "StorageVersionMigrationInProgress",
    SUCCEEDED: "StorageVersionMigrationSucceeded",
    FAILED: "StorageVersionMigrationFailed",
}
PAGE = 500
PATIENCE = timedelta(minutes=1)
"""So long a resource may be missing after the migration was asked for: it may be new."""
AGAIN = 10.0


class GroupResource(Part, frozen=True):
    group: str = ""
    resource: str = ""


class Spec(Part, frozen=True):
    resource: GroupResource = GroupResource()


class Status(Part, frozen=True):
    conditions: tuple[Condition, ...] = ()
    resource_version: str = ""


class Migration(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: Spec = Spec()
    status: Status = Status()

    def has(self, kind: str) -> bool:
        found = condition(self.status.conditions, kind)
        return found is not None and found.status == "True"


Migration.API = Resource(
    "storagemigration.k8s.io", "v1", "storageversionmigrations", "StorageVersionMigration", False, Migration
)


def conditions_with(old: Sequence[Condition], kind: str, message: str, now: datetime) -> list[Condition]:
    """The conditions with this one True. What is over does not run any more."""
    kept = [entry for entry in old if entry.type != kind]
    if kind != RUNNING:
        kept = [
            msgspec.structs.replace(entry, status="False", last_transition_time=now)
            if entry.type == RUNNING
            else entry
            for entry in kept
        ]
    new = Condition(type=kind, status="True", reason=REASONS[kind], message=message, last_transition_time=now)
    return [*kept, new]


class StorageVersionMigrator:
    name = "storage-version-migrator-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock = ctx.client, ctx.clock
        # Its role lets it write everything, and read nothing of what is served.
        self._reader = ctx.informers.client
        self._migrations = ctx.informer(Migration)
        self._migrations.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Carry the migration out, from its start. Safe to repeat at any time."""
        migration = self._migrations.get(key)
        if migration is None or migration.has(SUCCEEDED) or migration.has(FAILED):
            return None
        resource = await self._resource(migration.spec.resource)
        if resource is None:
            return await self._wait_for_resource(migration)
        try:
            if not migration.status.resource_version:
                revision = (await self._client.list(resource, limit=1)).resource_version
                migration = await self._patch(migration, {"resourceVersion": revision})
            if not migration.has(RUNNING):
                migration = await self._set(migration, RUNNING)
            await self._finish(migration, await self._migrate(resource))
        except NotFound:
            return None  # The migration has gone.
        return None

    async def _resource(self, wanted: GroupResource) -> Resource[Any] | None:
        found = await discover(self._reader, wanted.group)
        if found.failures:
            raise ApiError("; ".join(found.failures.values()))
        served = [entry.resource for entry in found.served if entry.resource.plural == wanted.resource]
        return replace(served[0], view=PartialObjectMetadata) if served else None

    async def _wait_for_resource(self, migration: Migration) -> Requeue | None:
        asked = migration.metadata.creation_timestamp
        if asked is not None and asked + PATIENCE > self._clock.now():
            return Requeue(AGAIN)
        await self._set(migration, FAILED, "resource not found")
        return None

    async def _migrate(self, resource: Resource[Any]) -> ApiError | None:
        """Write all objects; the failure that ended it. Raises what is worth another attempt."""
        token, count = "", 0
        while True:
            page = await self._client.list(resource, limit=PAGE, continue_token=token)
            for obj in page.items:
                try:
                    await self._rewrite(resource, obj)
                except TooManyRequests:
                    raise
                except ApiError as error:
                    return error
                count += 1
            token = page.continue_token
            if not token:
                log.info(
                    "rewrote objects resource=%s group=%s objects=%d", resource.plural, resource.group, count
                )
                return None

    async def _rewrite(self, resource: Resource[Any], obj: PartialObjectMetadata) -> None:
        meta = obj.metadata
        body: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version},
        }
        try:
            await self._client.patch(
                resource, meta.name, meta.namespace, body, kind=PatchType.APPLY, field_manager=self.name
            )
        except (Conflict, NotFound):
            return  # Written, deleted, or made anew in the meantime: nothing old is left of it.

    async def _finish(self, migration: Migration, error: ApiError | None) -> None:
        if error is None:
            await self._set(migration, SUCCEEDED)
            return
        log.error("migration failed key=%s why=%s", migration.key, error)
        await self._set(migration, FAILED, "migration encountered unhandled error")

    async def _set(self, migration: Migration, kind: str, message: str = "") -> Migration:
        new = conditions_with(migration.status.conditions, kind, message, self._clock.now())
        # `message` must be there, be it empty.
        bodies = [{"message": "", **condition_body(entry)} for entry in new]
        return await self._patch(migration, {"conditions": bodies})

    async def _patch(self, migration: Migration, status: Object) -> Migration:
        body = guarded(migration.metadata, {"status": status})
        return await self._client.patch(Migration, migration.key.name, "", body, subresource="status")
