"""EndpointSlice mirroring controller: Endpoints that people write for Services without a selector, as slices.

Reads: Endpoints, Services and EndpointSlices, from informer caches.
Writes: the EndpointSlices that carry this controller's managed-by label.
Elsewhere: what slices should hold (mirror.py); slices of Services with a selector (../endpointslice/), their
Endpoints (../endpoints.py).
"""

from __future__ import annotations

import logging

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, EndpointSlice, Service
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from ..batches import namespace_is_terminating
from ..config import Config
from ..latest import Latest
from ..status import guarded
from . import metrics
from .mirror import (
    MANAGED_BY_LABEL,
    MANAGER,
    SERVICE_LABEL,
    Changes,
    Group,
    Mirror,
    body_of,
    changes,
    mirror,
    mirrored,
)  # fmt: skip

log = logging.getLogger(__name__)

INDEX = "mirrored service"


class EndpointSliceMirroringController:
    name = "endpointslice-mirroring-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client, self._events, self._queue, self._clock = ctx.client, ctx.events, ctx.queue, ctx.clock
        self._most = options.mirroring_max_endpoints_per_subset
        self._period = options.mirroring_endpointslice_updates_batch_period
        self._endpoints = ctx.informer(Endpoints)
        self._services = ctx.informer(Service)
        self._slices = ctx.informer(EndpointSlice)
        self._slices.add_index(INDEX, _service_keys)
        self._latest = Latest(self._slices)
        self._writes = TrackedWrites(ctx.client, self._slices, ctx.clock)
        self._sizes = metrics.Sizes()
        self._endpoints.on_change(self._endpoints_changed)
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        if any(entry is not None and mirrored(entry) for entry in (old, new)):
            self._queue.wake(old, new)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if bool(old and not old.spec.selector) != bool(new and not new.spec.selector):
            self._queue.wake(old, new)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for entry in (old, new):
            if entry is not None and _service_keys(entry):
                key = Key(entry.metadata.namespace, entry.metadata.labels[SERVICE_LABEL])
                self._queue.add_after(key, self._period)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        began = self._clock.monotonic()
        try:
            return await self._reconcile(key)
        finally:
            metrics.DURATION.observe(self._clock.monotonic() - began)

    async def _reconcile(self, key: Key) -> Requeue | None:
        # The cache lags behind our own writes; deciding now would make a slice twice.
        if wait := self._writes.unsettled(key):
            return Requeue(wait)
        index = self._slices.by_index(INDEX, str(key))
        existing = [self._latest.of(entry) for entry in index if entry.metadata.deletion_timestamp is None]
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        if endpoints is None or service is None or service.spec.selector or not mirrored(endpoints):
            self._sizes.set(key, None)
            for entry in existing:
                await self._delete(key, entry)
            if not existing:
                self._writes.forget(key)
            return None
        wanted = mirror(endpoints, self._most)
        self._tell(endpoints, wanted)
        metrics.count(wanted, existing)
        self._sizes.set(key, wanted)
        await self._write(endpoints, changes(wanted.groups, existing, endpoints))
        return None

    def _tell(self, endpoints: Endpoints, found: Mirror) -> None:
        if found.invalid:
            text = f"Skipped {found.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self._events.event(endpoints, "Warning", "InvalidIPAddress", text)
        if found.skipped > found.invalid:
            text = (
                f"A max of {self._most} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{found.skipped} addresses were skipped"
            )
            self._events.event(endpoints, "Warning", "TooManyAddressesToMirror", text)

    async def _write(self, endpoints: Endpoints, todo: Changes) -> None:
        for entry, group, wanted in todo.write:
            body = body_of(endpoints, group, wanted)
            if entry is not None:
                await self._rewrite(entry, body)
            elif endpoints.metadata.deletion_timestamp is None:
                await self._create(endpoints, group, body)
        for entry in todo.delete:
            await self._delete(endpoints.key, entry)
        if todo.write or todo.delete:
            log.info(
                "mirrored key=%s written=%d deleted=%d", endpoints.key, len(todo.write), len(todo.delete)
            )

    async def _delete(self, key: Key, entry: EndpointSlice) -> None:
        await self._writes.delete(key, entry)
        metrics.count_change("delete")

    async def _rewrite(self, entry: EndpointSlice, body: Object) -> None:
        meta, wanted = entry.metadata, body["metadata"]
        wanted["labels"] = dict.fromkeys(meta.labels) | wanted["labels"]
        wanted["annotations"] = dict.fromkeys(meta.annotations) | wanted["annotations"]
        try:
            patch = guarded(meta, body)
            self._latest.wrote(await self._client.patch(EndpointSlice, meta.name, meta.namespace, patch))
        except NotFound:
            return  # Deleted by someone; the watch event wakes us to replace it.
        metrics.count_change("update")

    async def _create(self, endpoints: Endpoints, group: Group, body: Object) -> None:
        meta = endpoints.metadata
        metadata = body["metadata"] | {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
        }
        head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": group[1]}
        try:
            await self._writes.create(endpoints.key, head | body | {"metadata": metadata})
        except ApiError as error:
            if not namespace_is_terminating(error):
                raise
            return
        metrics.count_change("create")


def _service_keys(entry: EndpointSlice) -> list[str]:
    labels = entry.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [str(Key(entry.metadata.namespace, labels[SERVICE_LABEL]))]
