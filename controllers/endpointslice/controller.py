"""EndpointSlice controller: keep the slices of every Service that has a selector.

Reads: Services, Pods, Nodes and EndpointSlices, from informer caches.
Writes: the EndpointSlices that carry this controller's managed-by label.
Elsewhere: Endpoints (../endpoints.py); slices of a deleted Service go by garbage collection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice, Node, Pod, Service
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from ..adoption import controller_reference
from ..batches import attempt_all
from ..config import Config
from ..latest import Latest
from ..services import (
    HEADLESS_LABEL,
    TRIGGER_TIME,
    TriggerTimes,
    Wakeups,
    has_endpoints,
    is_headless,
    selected,
)
from ..status import guarded
from . import metrics
from .endpoints import Desired, Ports, address_types, desired
from .packing import Filling, Packing, pack

log = logging.getLogger(__name__)

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"


class EndpointSliceController:
    name = "endpointslice-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client = ctx.client
        self._events = ctx.events
        self._queue = ctx.queue
        self._maximum = options.max_endpoints_per_slice
        self._services = ctx.informer(Service)
        self._pods = ctx.informer(Pod)
        self._nodes = ctx.informer(Node)
        self._slices = ctx.informer(EndpointSlice)
        self._slices.add_index("managed-service", _service_keys)
        self._latest = Latest(self._slices)
        self._writes = TrackedWrites(ctx.client, self._slices, ctx.clock)
        self._trigger_times = TriggerTimes()
        self._sizes = metrics.Sizes()
        self._waiting: dict[Key, set[str]] = {}
        """Services, and the unknown nodes of their Pods."""
        self._nodes.on_change(self._node_changed)
        Wakeups(ctx.queue, self._services, self._pods)
        self._slices.on_change(self._slice_changed)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        for entry in (old, new):
            if entry is not None and _service_keys(entry):
                self._queue.add(Key(entry.metadata.namespace, entry.metadata.labels[SERVICE_LABEL]))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        service = self._services.get(key)
        if service is None:
            self._trigger_times.forget(key)
            self._waiting.pop(key, None)
            self._writes.forget(key)
            self._sizes.set(key, None)
            return None
        if not has_endpoints(service):
            return None
        # The cache lags behind our own writes; packing now would put endpoints into two slices.
        if wait := self._writes.unsettled(key):
            metrics.count_sync("stale")
            return Requeue(wait)
        pods = selected(service, self._pods.list(key.namespace))
        time = self._trigger_times.observe(service, pods)
        packings, unknown = self._plan(service, pods)
        try:
            await self._write(service, packings, time)
        except ApiError:
            metrics.count_sync("error")
            raise
        metrics.count_sync("success")
        self._await_nodes(key, unknown)
        return None

    def _await_nodes(self, key: Key, unknown: set[str]) -> None:
        """Pods on nodes that are not known (yet) are left out until these turn up."""
        self._waiting.pop(key, None)
        if unknown:
            log.info("leaving out pods of unknown nodes key=%s nodes=%s", key, sorted(unknown))
            self._waiting[key] = unknown

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is None and new is not None:
            for key, names in self._waiting.items():
                if new.metadata.name in names:
                    self._queue.add(key)

    def _plan(self, service: Service, pods: Sequence[Pod]) -> tuple[dict[str, Packing], set[str]]:
        """A packing per address family, and the nodes that are missing."""
        index = self._slices.by_index("managed-service", str(service.key))
        slices = [self._latest.of(entry) for entry in index if entry.metadata.deletion_timestamp is None]
        types = address_types(service)
        packings: dict[str, Packing] = {}
        unknown: set[str] = set()
        every: dict[str, Desired] = {}
        usable = [entry for entry in slices if entry.address_type in types and _is_of(entry, service)]
        for kind in types:
            wanted, missing = desired(service, pods, lambda name: self._nodes.get(Key("", name)), kind)
            existing = [entry for entry in usable if entry.address_type == kind]
            packings[kind] = pack(wanted, existing, slice_labels(service), self._maximum)
            unknown |= missing
            every[kind] = wanted
        metrics.count_endpoints(every, usable)
        self._sizes.set(service.key, metrics.size(every, packings.values(), usable, self._maximum))
        packings[""] = Packing(delete=[entry for entry in slices if entry not in usable])
        return packings, unknown

    async def _write(self, service: Service, packings: dict[str, Packing], time: str | None) -> None:
        actions = []
        for kind, packing in packings.items():
            actions += [self._write_slice(service, kind, filling, time) for filling in packing.write]
            actions += [self._writes.delete(service.key, entry) for entry in packing.delete]
        if not actions:
            return
        metrics.count_changes(packings.values())
        log.info("writing slices key=%s writes=%d", service.key, len(actions))
        errors = await attempt_all(actions)
        if errors:
            key = f"{service.metadata.namespace}/{service.metadata.name}"
            message = f"Error updating Endpoint Slices for Service {key}: {errors[0]}"
            self._events.event(service, "Warning", "FailedToUpdateEndpointSlices", message)
            raise errors[0]

    async def _write_slice(self, service: Service, kind: str, filling: Filling, time: str | None) -> None:
        body = contents(service, filling, time)
        if filling.slice is None:
            if service.metadata.deletion_timestamp is None:
                body["metadata"] |= {"annotations": {TRIGGER_TIME: time} if time else {}}
                await self._writes.create(service.key, new_slice(service, kind, body))
            return
        meta = filling.slice.metadata
        labels = dict.fromkeys(meta.labels, None) | body["metadata"]["labels"]
        body["metadata"] |= {"labels": labels, "annotations": {TRIGGER_TIME: time}}
        try:
            patch = guarded(meta, body)
            self._latest.wrote(await self._client.patch(EndpointSlice, meta.name, meta.namespace, patch))
        except NotFound:
            return  # Deleted by someone; the watch event wakes us to replace it.


def slice_labels(service: Service) -> dict[str, str]:
    """The Service's own labels and those that make a slice ours."""
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels | {SERVICE_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGER}


def contents(service: Service, filling: Filling, time: str | None) -> Object:
    """What changes in the life of a slice."""
    return {
        "metadata": {"labels": slice_labels(service)},
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in filling.endpoints],
        "ports": _ports_body(filling.ports),
    }


def new_slice(service: Service, address_type: str, body: Object) -> Object:
    """The body of a slice to create; the server completes its name."""
    metadata = body["metadata"] | {
        "generateName": f"{service.metadata.name}-",
        "namespace": service.metadata.namespace,
        "ownerReferences": [controller_reference(service)],
    }
    head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": address_type}
    return {**head, **body, "metadata": metadata}


def _ports_body(ports: Ports) -> list[Object]:
    ordered = sorted(ports, key=lambda port: (port.name or "", port.port or 0, port.protocol or ""))
    return [
        {"name": port.name or "", "protocol": port.protocol or "TCP", "port": port.port}
        | ({"appProtocol": port.app_protocol} if port.app_protocol else {})
        for port in ordered
    ]


def _is_of(entry: EndpointSlice, service: Service) -> bool:
    """Whether the slice is this Service's, not that of an earlier one of its name."""
    owner = entry.metadata.controller
    return owner is not None and owner.uid == service.metadata.uid


def _service_keys(entry: EndpointSlice) -> list[str]:
    labels = entry.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [str(Key(entry.metadata.namespace, labels[SERVICE_LABEL]))]
