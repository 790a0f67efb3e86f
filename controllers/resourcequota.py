"""ResourceQuota controller: counts again what the objects of a namespace cost, and writes it to the quota.

Reads: ResourceQuotas, and from informers that start when a quota asks for them the objects that it is about;
of those that it only counts, custom resources included, the metadata. Writes: the status of ResourceQuotas.
Elsewhere: charging new objects (the API server's admission); costs (`kplane/api/quota`).

Invariant: only what gives something back (an object that goes, or ends, or shrinks) starts a new count.
Objects that come have been charged already, perhaps before they are seen here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TypeAlias

from kplane.api.errors import ApiError, NotFound, ServiceUnavailable
from kplane.api.quantity import QuantityError, Wire
from kplane.api.quota import Evaluator, evaluator_for, pods, scopes
from kplane.api.quota.amounts import added, masked, same
from kplane.api.quota.evaluators import ALIASES
from kplane.api.resource import Key, Object, Resource
from kplane.api.scheme import builtin
from kplane.api.types import PartialObjectMetadata
from kplane.client.controller import Context
from kplane.client.informer import Informer
from kplane.client.workqueue import Requeue

from .config import Config
from .discovery import discover
from .quotatypes import QuotaPod

log = logging.getLogger(__name__)

PODS, QUOTAS, CLAIMS = ("", "pods"), ("", "resourcequotas"), ("", "persistentvolumeclaims")
WATCHED = (
    PODS,
    ("", "services"),
    CLAIMS,
    ("resource.k8s.io", "resourceclaims"),
    *(("", plural) for plural in sorted(ALIASES)),
)
"""Group and plural of what costs more than a number, or is counted by its bare name."""

Place: TypeAlias = tuple[str, str]
"""Group and plural."""


class ResourceQuotaController:
    name = "resourcequota-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._queue = ctx.client, ctx.clock, ctx.queue
        self._options: Config = ctx.options or Config()
        self._informers = ctx.informers
        self._counted: dict[Resource[PartialObjectMetadata], Informer[PartialObjectMetadata]] = {}
        self._scheme = builtin()
        self._quotas: Informer[Object] = ctx.informer(self._resource(*QUOTAS))
        self._watched = {QUOTAS: self._quotas}
        self._quotas.on_change(partial(self._object_changed, QUOTAS))
        self._quotas.on_change(self._quota_changed)

    def _resource(self, group: str, plural: str) -> Resource[Object]:
        rows = [row for row in self._scheme.rows.values() if (row.group, row.plural) == (group, plural)]
        if not rows:
            raise NotFound(f"no resource {plural} in group {group!r}")
        resource = rows[0].resource
        return resource.as_type(QuotaPod) if (group, plural) == PODS else resource

    async def _counted_resource(self, group: str, plural: str) -> Resource[PartialObjectMetadata]:
        """Raises NotFound for what this cluster does not have."""
        for row in self._scheme.rows.values():
            if (row.group, row.plural) == (group, plural):
                return row.resource.as_type(PartialObjectMetadata)
        found = await discover(self._client, group)
        for entry in found.served:
            if entry.resource.plural == plural and entry.resource.namespaced:
                return entry.resource
        if found.failures:
            raise ServiceUnavailable(f"discovery of group {group!r} failed: {found.failures}")
        raise NotFound(f"no resource {plural} in group {group!r}")

    def _quota_changed(self, old: Object | None, new: Object | None) -> None:
        """A status alone is admission's business."""
        if new is not None and (old is None or old["spec"] != new["spec"]):
            self._queue.add(_key(new))

    def _object_changed(self, place: Place, old: Object | None, new: Object | None) -> None:
        if old is None:
            return
        evaluator = evaluator_for(*place)
        quotas = self._quotas.list(old["metadata"].get("namespace", ""))
        concerned = [quota for quota in quotas if evaluator.names(_hard(quota))]
        if concerned and (new is None or self._gives_back(place, old, new)):
            for quota in concerned:
                self._queue.add(_key(quota))

    def _counted_changed(
        self, group: str, plural: str, old: PartialObjectMetadata | None, new: PartialObjectMetadata | None
    ) -> None:
        if old is None or new is not None:
            return
        evaluator = evaluator_for(group, plural)
        for quota in self._quotas.list(old.metadata.namespace):
            if evaluator.names(_hard(quota)):
                self._queue.add(_key(quota))

    def _gives_back(self, place: Place, old: Object, new: Object) -> bool:
        try:
            return self._shrinks(place, old, new)
        except QuantityError:
            return True  # The count says what is wrong with it.

    def _shrinks(self, place: Place, old: Object, new: Object) -> bool:
        """Raises QuantityError."""
        now = self._clock.now()
        if place == PODS:
            if old["spec"] == new["spec"] and old.get("status") == new.get("status"):
                return False
            # What the cache calls living was counted so, even if its time has passed since.
            if not pods.is_live(new, now) and old.get("status") != new.get("status"):
                return True
            return not same(pods.usage(old, now), pods.usage(new, now)) or _scope_changed(old, new)
        evaluator = evaluator_for(*place)
        if place == CLAIMS and scopes.claim_classes(old) != scopes.claim_classes(new):
            return True
        return evaluator.updates and not same(evaluator.usage(old, now), evaluator.usage(new, now))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Count, and write what was counted. Safe to repeat at any time."""
        quota = self._quotas.get(key)
        if quota is None or quota["metadata"].get("deletionTimestamp"):
            return None
        hard, status = _hard(quota), quota.get("status") or {}
        before = status.get("used") or {}
        counted, failure = await self._count(quota, hard)
        used = masked(before | counted, hard)
        if not same(used, before) or not same(hard, status.get("hard") or {}):
            await self._write(quota, hard, used)
        if failure is not None:
            raise failure
        return Requeue(after=self._options.resource_quota_sync_period)

    async def _count(self, quota: Object, hard: Object) -> tuple[dict[str, Wire], ApiError | None]:
        """What is used of everything that can be counted, and why something can not be."""
        namespace, total = quota["metadata"]["namespace"], dict[str, Wire].fromkeys(hard, "0")
        found: dict[str, Wire] = {}
        failure: ApiError | None = None
        for group, plural in sorted(_resources(hard)):
            evaluator = evaluator_for(group, plural)
            try:
                objects = await self._objects(group, plural, namespace)
            except NotFound:
                # A quota on what this cluster does not have: nothing of it is used.
                continue
            except ApiError as error:
                failure = error
                for name in evaluator.names(hard):
                    total.pop(name, None)
                continue
            found = added(found, _usage(evaluator, quota, hard, objects, self._clock.now()))
        return total | masked(found, hard), failure

    async def _objects(self, group: str, plural: str, namespace: str) -> Sequence[Object]:
        """What is only counted is only so many empty objects."""
        if (group, plural) in WATCHED:
            watched = self._watch((group, plural))
            if not watched.synced:
                # Raises where it is not served, and the cache would never come. Counting what this tells, and
                # again what the cache tells, could forget a charge whose object neither has seen.
                await self._client.list(watched.resource, namespace, limit=1)
                await watched.wait_synced()
            return watched.list(namespace)
        resource = await self._counted_resource(group, plural)
        informer = self._counted.get(resource)
        if informer is None:
            informer = self._counted[resource] = self._informers.informer(resource)
            informer.on_change(partial(self._counted_changed, group, plural))
        if informer.synced:
            return [{}] * len(informer.list(namespace))
        # Its cache is not there yet, and this worker does not wait for it.
        return [{}] * len((await self._client.list(resource, namespace)).items)

    def _watch(self, place: Place) -> Informer[Object]:
        found = self._watched.get(place)
        if found is None:
            found = self._watched[place] = self._informers.informer(self._resource(*place))
            found.on_change(partial(self._object_changed, place))
        return found

    async def _write(self, quota: Object, hard: Object, used: dict[str, Wire]) -> None:
        status = quota.get("status") or {}
        metadata = quota["metadata"]
        body = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "status": {
                "hard": dict.fromkeys(status.get("hard") or {}) | hard,
                "used": dict.fromkeys(status.get("used") or {}) | used,
            },
        }
        await self._client.patch(
            self._resource(*QUOTAS), metadata["name"], metadata["namespace"], body, subresource="status"
        )


def _scope_changed(old: Object, new: Object) -> bool:
    """Whether the Pod counts for other quotas than before."""
    was, is_ = scopes.is_terminating(old["spec"]), scopes.is_terminating(new["spec"])
    return was != is_


def _usage(
    evaluator: Evaluator, quota: Object, hard: Object, objects: Sequence[Object], now: datetime
) -> dict[str, Wire]:
    total: dict[str, Wire] = {}
    for obj in objects:
        try:
            if evaluator.matches(quota, obj, hard):
                charge = masked(evaluator.usage(obj, now), evaluator.names(hard))
                # Added to something in any case: only then is it read.
                total = added(dict.fromkeys(charge, "0") | total, charge)
        except QuantityError as error:
            name = (obj.get("metadata") or {}).get("name", "")
            log.warning("object not counted quota=%s object=%s why=%s", _key(quota), name, error)
    return total


def _resources(hard: Object) -> set[tuple[str, str]]:
    """The resources whose objects a quota on these names is about."""
    found = {place for place in WATCHED if evaluator_for(*place).names(hard)}
    for name in hard:
        if name.startswith("count/"):
            plural, _, group = name.removeprefix("count/").partition(".")
            found.add((group, plural))
    return found


def _hard(quota: Object) -> Object:
    found: Object = (quota.get("spec") or {}).get("hard") or {}
    return found


def _key(quota: Object) -> Key:
    return Key(quota["metadata"]["namespace"], quota["metadata"]["name"])
