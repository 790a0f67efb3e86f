"""EndpointSlice mirroring controller: Endpoints that people write for Services without a selector, as slices.

Reads: Endpoints, Services and EndpointSlices, from informer caches.
Writes: the EndpointSlices that carry this controller's managed-by label.
Elsewhere: slices of Services with a selector (endpointslice/), their Endpoints (endpoints.py).

Invariant: one slice for each combination of ports and address family; no other slice of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

import msgspec

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, EndpointSlice, Service
from kplane.api.types.core import EndpointAddress, EndpointSubset
from kplane.api.types.discovery import Endpoint, EndpointConditions, EndpointPort
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from .adoption import controller_reference
from .batches import namespace_is_terminating
from .config import Config
from .latest import Latest
from .services import TRIGGER_TIME
from .status import guarded

log = logging.getLogger(__name__)

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
INDEX = "mirrored service"

Group = tuple[frozenset[EndpointPort], str]
"""Ports and address family."""


@dataclass
class Mirror:
    """What the slices of some Endpoints should hold, and what of these cannot be shown."""

    groups: dict[Group, list[Endpoint]] = field(default_factory=dict)
    invalid: int = 0
    skipped: int = 0
    """Also those that are invalid."""


def mirrored(endpoints: Endpoints) -> bool:
    """Whether they are mirrored at all: records of leaders are none of anybody's endpoints."""
    meta = endpoints.metadata
    return meta.labels.get(SKIP_LABEL) != "true" and LEADER not in meta.annotations


def mirror(endpoints: Endpoints, most: int) -> Mirror:
    """`most` addresses of each subset are shown."""
    result = Mirror()
    for subset in endpoints.subsets or ():
        _mirror_subset(result, subset, most)
    for group, shown in result.groups.items():
        # An address may be named twice; slices show it once.
        result.groups[group] = list({_identity(endpoint): endpoint for endpoint in shown}.values())
    return result


def _mirror_subset(result: Mirror, subset: EndpointSubset, most: int) -> None:
    ports = frozenset(
        EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
        for port in subset.ports or ()
    )
    ready, unready = subset.addresses or (), subset.not_ready_addresses or ()
    shown = 0
    for address, is_ready in [*((entry, True) for entry in ready), *((entry, False) for entry in unready)]:
        if shown >= most:
            break
        converted = _convert(address, is_ready)
        if converted is None:
            result.invalid += 1
            continue
        family, endpoint = converted
        result.groups.setdefault((ports, family), []).append(endpoint)
        shown += 1
    result.skipped += len(ready) + len(unready) - shown


def _convert(address: EndpointAddress, ready: bool) -> tuple[str, Endpoint] | None:
    try:
        parsed = ip_address(address.ip)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    endpoint = Endpoint(
        addresses=(str(parsed),),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )
    return f"IPv{parsed.version}", endpoint


def _identity(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.addresses, endpoint.hostname, endpoint.node_name, endpoint.target_ref


@dataclass
class Changes:
    write: list[tuple[EndpointSlice | None, Group, list[Endpoint]]] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)


def changes(
    groups: Mapping[Group, list[Endpoint]], existing: Sequence[EndpointSlice], endpoints: Endpoints
) -> Changes:
    """What to write and delete; slices of other ports are used again where their family allows it."""
    result = Changes()
    left: dict[Group, list[EndpointSlice]] = {}
    for entry in existing:
        left.setdefault((frozenset(entry.ports or ()), entry.address_type), []).append(entry)
    for group, wanted in groups.items():
        have = left.pop(group, [])
        result.delete += have[1:]
        if not have:
            result.write.append((None, group, wanted))
        elif not _shows(have[0], wanted, endpoints):
            result.write.append((have[0], group, wanted))
    result.delete += [entry for entries in left.values() for entry in entries]
    return _reuse(result)


def _shows(entry: EndpointSlice, wanted: Sequence[Endpoint], endpoints: Endpoints) -> bool:
    meta = entry.metadata
    return (
        set(map(_shown, entry.endpoints or ())) == set(map(_shown, wanted))
        and meta.labels == labels_of(endpoints)
        and _own_annotations(meta.annotations) == annotations_of(endpoints)
    )


def _shown(endpoint: Endpoint) -> tuple[object, ...]:
    return (*_identity(endpoint), endpoint.conditions.ready)


def _reuse(result: Changes) -> Changes:
    for position, (entry, group, wanted) in enumerate(result.write):
        spare = next((old for old in result.delete if old.address_type == group[1]), None)
        if entry is None and spare is not None:
            result.delete.remove(spare)
            result.write[position] = (spare, group, wanted)
    return result


def labels_of(endpoints: Endpoints) -> dict[str, str]:
    """The labels of the slices."""
    own = {SERVICE_LABEL: endpoints.metadata.name, MANAGED_BY_LABEL: MANAGER}
    return endpoints.metadata.labels | own


def annotations_of(endpoints: Endpoints) -> dict[str, str]:
    return _own_annotations(endpoints.metadata.annotations)


def _own_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in annotations.items() if name not in (TRIGGER_TIME, LAST_APPLIED)}


class EndpointSliceMirroringController:
    name = "endpointslice-mirroring-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._most = options.mirroring_max_endpoints_per_subset
        self._endpoints = ctx.informer(Endpoints)
        self._services = ctx.informer(Service)
        self._slices = ctx.informer(EndpointSlice)
        self._slices.add_index(INDEX, _service_keys)
        self._latest = Latest(self._slices)
        self._writes = TrackedWrites(ctx.client, self._slices, ctx.clock)
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
                self._queue.add(Key(entry.metadata.namespace, entry.metadata.labels[SERVICE_LABEL]))

    async def reconcile(self, key: Key) -> Requeue | None:
        # The cache lags behind our own writes; deciding now would make a slice twice.
        if wait := self._writes.unsettled(key):
            return Requeue(wait)
        index = self._slices.by_index(INDEX, str(key))
        existing = [self._latest.of(entry) for entry in index if entry.metadata.deletion_timestamp is None]
        endpoints, service = self._endpoints.get(key), self._services.get(key)
        if endpoints is None or service is None or service.spec.selector or not mirrored(endpoints):
            for entry in existing:
                await self._writes.delete(key, entry)
            if not existing:
                self._writes.forget(key)
            return None
        wanted = mirror(endpoints, self._most)
        self._tell(endpoints, wanted)
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
            body = _body(endpoints, group, wanted)
            if entry is not None:
                await self._rewrite(entry, body)
            elif endpoints.metadata.deletion_timestamp is None:
                await self._create(endpoints, group, body)
        for entry in todo.delete:
            await self._writes.delete(endpoints.key, entry)
        if todo.write or todo.delete:
            log.info(
                "mirrored key=%s written=%d deleted=%d", endpoints.key, len(todo.write), len(todo.delete)
            )

    async def _rewrite(self, entry: EndpointSlice, body: Object) -> None:
        meta, wanted = entry.metadata, body["metadata"]
        wanted["labels"] = dict.fromkeys(meta.labels) | wanted["labels"]
        wanted["annotations"] = dict.fromkeys(meta.annotations) | wanted["annotations"]
        try:
            patch = guarded(meta, body)
            self._latest.wrote(await self._client.patch(EndpointSlice, meta.name, meta.namespace, patch))
        except NotFound:
            return  # Deleted by someone; the watch event wakes us to replace it.

    async def _create(self, endpoints: Endpoints, group: Group, body: Object) -> None:
        meta = endpoints.metadata
        metadata = body["metadata"] | {
            "generateName": f"{meta.name}-",
            "namespace": meta.namespace,
            "ownerReferences": [controller_reference(endpoints)],
        }
        head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": group[1]}
        try:
            await self._writes.create(endpoints.key, head | body | {"metadata": metadata})
        except ApiError as error:
            if not namespace_is_terminating(error):
                raise


def _body(endpoints: Endpoints, group: Group, wanted: Sequence[Endpoint]) -> Object:
    ports = sorted(group[0], key=lambda port: (port.name or "", port.port or 0))
    return {
        "metadata": {"labels": labels_of(endpoints), "annotations": annotations_of(endpoints)},
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in wanted],
        "ports": [
            msgspec.to_builtins(port) | {"name": port.name or "", "protocol": port.protocol or "TCP"}
            for port in ports
        ],
    }


def _service_keys(entry: EndpointSlice) -> list[str]:
    labels = entry.metadata.labels
    if labels.get(MANAGED_BY_LABEL) != MANAGER or SERVICE_LABEL not in labels:
        return []
    return [str(Key(entry.metadata.namespace, labels[SERVICE_LABEL]))]
