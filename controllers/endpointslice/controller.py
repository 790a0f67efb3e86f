"""EndpointSlice controller: keep the slices of every Service that has a selector.

Reads: Services, Pods, Nodes and EndpointSlices, from informer caches.
Writes: the EndpointSlices that carry this controller's managed-by label.
Elsewhere: Endpoints (../endpoints.py); slices of a deleted Service go by garbage collection.

Invariant: slices are created and rewritten before others are deleted, so that an endpoint which moves is
always in one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice, Node, Pod, Service
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from ..adoption import controller_reference
from ..batches import attempt_all, namespace_is_terminating
from ..config import Config
from ..latest import Latest
from ..nodes import index_by_node, pods_on
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
from . import hints, metrics, zones
from .endpoints import ZONE_LABEL, Desired, Ports, address_types, desired
from .packing import Filling, Packing, pack, worth_writing

log = logging.getLogger(__name__)

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
NODES = Key("", "nodes")
"""The key for looking at all nodes; no Service has it, for want of a namespace."""


@dataclass
class Plan:
    """What is to be done about one Service."""

    packings: dict[str, Packing] = field(default_factory=dict)
    """By address family; those of families that the Service does not have (any more) delete only."""
    wanted: dict[str, Desired] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    """Pods that are left out, and their nodes, which are not known (yet)."""
    notices: list[hints.Notice] = field(default_factory=list)


@dataclass
class _Attempt:
    """The writes of one reconcile and what came of them."""

    service: Service
    time: str | None
    failures: list[tuple[str, ApiError]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.service.metadata.namespace}/{self.service.metadata.name}"

    def fail(self, what: str, error: ApiError) -> None:
        self.failures.append((f"{what}: {error}", error))


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
        index_by_node(self._pods)
        self._nodes = ctx.informer(Node)
        self._slices = ctx.informer(EndpointSlice)
        self._slices.add_index("managed-service", _service_keys)
        self._latest = Latest(self._slices)
        self._writes = TrackedWrites(ctx.client, self._slices, ctx.clock)
        self._trigger_times = TriggerTimes()
        self._sizes = metrics.Sizes()
        self._topology = hints.Topology()
        self._nodes_changed = True
        self._rewritten: dict[Key, str] = {}
        """Slice -> the revision that we gave it: nothing is to be learned from seeing that one."""
        self._waiting: dict[Key, set[str]] = {}
        """Services, and the unknown nodes of their Pods."""
        self._period = options.endpointslice_updates_batch_period
        self._wakeups = Wakeups(ctx.queue, self._services, self._pods, self._period)
        self._nodes.on_change(self._node_changed)
        self._slices.on_change(self._slice_changed)

    def _slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        states = [entry for entry in (old, new) if entry is not None]
        ours = self._rewritten.pop(states[0].key, None)
        if new is not None and ours == new.metadata.resource_version:
            return
        for entry in states:
            if _service_keys(entry):
                key = Key(entry.metadata.namespace, entry.metadata.labels[SERVICE_LABEL])
                self._queue.add_after(key, self._period)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if (zones.weight(old) if old else None) != (zones.weight(new) if new else None):
            self._nodes_changed = True
            self._queue.add(NODES)
        if new is None:
            return
        if old is None:
            for key, names in self._waiting.items():
                if new.metadata.name in names:
                    self._queue.add(key)
        elif old.metadata.labels.get(ZONE_LABEL) != new.metadata.labels.get(ZONE_LABEL):
            self._wakeups.wake(pods_on(self._pods, new.metadata.name))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        if key == NODES:
            if self._topology.in_use:
                self._look_at_nodes()
            return None
        service = self._services.get(key)
        if service is None:
            self._forget(key)
            return None
        if not has_endpoints(service):
            return None
        # The cache lags behind our own writes; packing now would put endpoints into two slices.
        if wait := self._writes.unsettled(key):
            metrics.count_sync("stale")
            return Requeue(wait)
        pods = selected(service, self._pods.list(key.namespace))
        time = self._trigger_times.observe(service, pods)
        plan = self._plan(service, pods)
        attempt = _Attempt(service, time)
        await self._write(attempt, plan.packings)
        for notice in plan.notices:
            self._events.event(service, notice.kind, notice.reason, notice.text)
        self._await_nodes(key, plan)
        self._tell(attempt, plan)
        return None

    def _forget(self, key: Key) -> None:
        self._trigger_times.forget(key)
        self._topology.forget(key)
        self._waiting.pop(key, None)
        self._writes.forget(key)
        self._sizes.set(key, None)

    def _look_at_nodes(self) -> None:
        """Wake the Services whose hints do not fit the nodes any more."""
        if self._nodes_changed:
            self._nodes_changed = False
            for key in self._topology.set_nodes(self._nodes.list()):
                log.info("hints do not fit the nodes any more key=%s", key)
                self._queue.add(key)

    def _await_nodes(self, key: Key, plan: Plan) -> None:
        """Pods on nodes that are not known (yet) are left out until these turn up."""
        self._waiting.pop(key, None)
        if plan.missing:
            names = {node for _, node in plan.missing}
            log.info("leaving out pods of unknown nodes key=%s nodes=%s", key, sorted(names))
            self._waiting[key] = names

    def _plan(self, service: Service, pods: Sequence[Pod]) -> Plan:
        index = self._slices.by_index("managed-service", str(service.key))
        slices = [self._latest.of(entry) for entry in index if entry.metadata.deletion_timestamp is None]
        families = address_types(service)
        plan, usable = Plan(), []
        for entry in slices:
            if entry.address_type not in families:
                self._topology.remove(service.key, entry.address_type)
                plan.packings.setdefault(entry.address_type, Packing()).delete.append(entry)
        for family in families:
            mine = [entry for entry in slices if entry.address_type == family]
            existing = [entry for entry in mine if _is_of(entry, service)]
            wanted, missing = desired(service, pods, lambda name: self._nodes.get(Key("", name)), family)
            packing = pack(wanted, existing, slice_labels(service), self._maximum)
            plan.notices += self._hint(service, family, packing, existing)
            packing = worth_writing(packing, slice_labels(service))
            packing.delete += [entry for entry in mine if entry not in existing]
            plan.packings[family], plan.wanted[family] = packing, wanted
            plan.missing += [entry for entry in missing if entry not in plan.missing]
            metrics.count_endpoints(wanted, existing)
            usable += mine
        self._sizes.set(
            service.key,
            metrics.size(
                plan.wanted,
                [plan.packings[family] for family in families],
                usable,
                self._maximum,
                hints.distribution(service),
            ),
        )
        return plan

    def _hint(
        self, service: Service, family: str, packing: Packing, existing: Sequence[EndpointSlice]
    ) -> list[hints.Notice]:
        if hints.automatic(service):
            self._look_at_nodes()
            return self._topology.hint(service.key, family, packing, existing)
        notices = self._topology.end(service.key, family)
        hints.distribute(packing, existing, hints.distribution(service))
        return notices

    async def _write(self, attempt: _Attempt, packings: dict[str, Packing]) -> None:
        """Create, rewrite, delete; a step is left out where the one before it failed."""
        fillings = [(family, filling) for family, packing in packings.items() for filling in packing.write]
        gone = [entry for packing in packings.values() for entry in packing.delete]
        if fillings or gone:
            log.info("writing slices key=%s writes=%d deletes=%d", attempt.name, len(fillings), len(gone))
        fresh = [(family, filling) for family, filling in fillings if filling.slice is None]
        await attempt_all(self._create(attempt, family, filling) for family, filling in fresh)
        if not attempt.failures:
            old = [(filling.slice, filling) for _, filling in fillings if filling.slice is not None]
            await attempt_all(self._rewrite(attempt, entry, filling) for entry, filling in old)
        if not attempt.failures:
            await attempt_all(self._delete(attempt, entry) for entry in gone)
        if not attempt.failures:
            self._count(attempt.service, packings)

    def _count(self, service: Service, packings: dict[str, Packing]) -> None:
        topology = "Auto" if hints.automatic(service) else "Disabled"
        for family in address_types(service):
            metrics.count_changed(packings[family], topology, hints.distribution(service))

    async def _create(self, attempt: _Attempt, family: str, filling: Filling) -> None:
        service = attempt.service
        if service.metadata.deletion_timestamp is not None:
            return  # The garbage collector is about to delete its slices.
        body = contents(service, filling)
        body["metadata"] |= {"annotations": {TRIGGER_TIME: attempt.time} if attempt.time else {}}
        try:
            await self._writes.create(service.key, new_slice(service, family, body))
        except ApiError as error:
            if not namespace_is_terminating(error):
                attempt.fail(f"failed to create EndpointSlice for Service {attempt.name}", error)
            return
        metrics.count_change("create")

    async def _rewrite(self, attempt: _Attempt, entry: EndpointSlice, filling: Filling) -> None:
        meta, body = entry.metadata, contents(attempt.service, filling)
        labels = dict.fromkeys(meta.labels, None) | body["metadata"]["labels"]
        body["metadata"] |= {"labels": labels, "annotations": {TRIGGER_TIME: attempt.time}}
        try:
            patch = guarded(meta, body)
            answer = await self._client.patch(EndpointSlice, meta.name, meta.namespace, patch)
        except NotFound:
            return  # Deleted by someone; the watch event wakes us to replace it.
        except ApiError as error:
            attempt.fail(f"failed to update {meta.name} EndpointSlice for Service {attempt.name}", error)
            return
        self._latest.wrote(answer)
        self._note(answer)
        metrics.count_change("update")

    def _note(self, answer: EndpointSlice) -> None:
        """Remember an own rewrite, but if it has been seen already."""
        cached = self._slices.get(answer.key)
        if cached is not None and cached.metadata.resource_version != answer.metadata.resource_version:
            self._rewritten[answer.key] = answer.metadata.resource_version

    async def _delete(self, attempt: _Attempt, entry: EndpointSlice) -> None:
        try:
            await self._writes.delete(attempt.service.key, entry)
        except ApiError as error:
            what = f"failed to delete {entry.metadata.name} EndpointSlice for Service {attempt.name}"
            attempt.fail(what, error)
            return
        metrics.count_change("delete")

    def _tell(self, attempt: _Attempt, plan: Plan) -> None:
        """Say what could not be done. Raises the first failed write's error."""
        texts = [
            f"skipping Pod {pod} for Service {attempt.name}: Node {node} Not Found"
            for pod, node in plan.missing
        ]
        texts += [text for text, _ in attempt.failures[:1]]
        metrics.count_sync("error" if texts else "success")
        if texts:
            what = f"[{', '.join(texts)}]" if len(texts) > 1 else texts[0]
            message = f"Error updating Endpoint Slices for Service {attempt.name}: {what}"
            self._events.event(attempt.service, "Warning", "FailedToUpdateEndpointSlices", message)
        if attempt.failures:
            raise attempt.failures[0][1]


def slice_labels(service: Service) -> dict[str, str]:
    """The Service's own labels and those that make a slice ours."""
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels | {SERVICE_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGER}


def contents(service: Service, filling: Filling) -> Object:
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
