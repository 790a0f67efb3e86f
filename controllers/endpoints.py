"""Endpoints controller: the older form of what EndpointSlices say, one object per Service.

Reads: Services, Pods and Endpoints, from informer caches.
Writes: the Endpoints of Services that have a selector.
Elsewhere: EndpointSlices (endpointslice/).

Invariant: at most 1,000 addresses in one object; beyond that it is cut and says so. Endpoints go with their
Service, whoever made them; those that never had one stay, until this controller is started anew.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, Pod, Service
from kplane.api.types.core import EndpointAddress, EndpointSubset, SubsetPort
from kplane.api.types.discovery import ObjectReference
from kplane.api.types.meta import ObjectMeta
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .batches import namespace_is_terminating
from .config import Config
from .latest import Latest
from .services import (
    HEADLESS_LABEL,
    TRIGGER_TIME,
    TriggerTimes,
    Wakeups,
    addresses,
    belongs,
    family,
    has_endpoints,
    hostname,
    is_headless,
    selected,
    target_port,
)  # fmt: skip
from .status import guarded

log = logging.getLogger(__name__)

OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
TRUNCATED = "truncated"
LEADER = "control-plane.alpha.kubernetes.io/leader"
"""Marks Endpoints that are records of leaders, and never had a Service."""
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
CAPACITY = 1000

Host: TypeAlias = tuple[EndpointAddress, bool]
"""An address, and whether it is ready."""


def subsets_of(service: Service, pods: Iterable[Pod]) -> list[EndpointSubset]:
    """All addresses behind the Service, packed and sorted."""
    publish = service.spec.publish_not_ready_addresses
    hosts: defaultdict[SubsetPort | None, set[Host]] = defaultdict(set)
    for pod in pods:
        if not belongs(pod, terminating_too=publish):
            continue
        address = _address(service, pod)
        if address is not None:
            for port in _ports(service, pod):
                hosts[port].add((address, publish or pod.ready))
    return _packed(hosts)


def _address(service: Service, pod: Pod) -> EndpointAddress | None:
    """The Pod's address of the Service's first family."""
    wanted = _family(service, pod)
    for ip in addresses(pod):
        if family(ip) == wanted:
            reference = ObjectReference(
                kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
            )
            return EndpointAddress(
                ip=ip,
                hostname=hostname(pod, service),
                node_name=pod.spec.node_name or None,
                target_ref=reference,
            )
    return None


def _family(service: Service, pod: Pod) -> str:
    """Older API servers do not tell a Service's families."""
    if service.spec.ip_families:
        return service.spec.ip_families[0]
    return family(addresses(pod)[0] if is_headless(service) else service.spec.cluster_ip)


def _ports(service: Service, pod: Pod) -> list[SubsetPort | None]:
    """The ports of this Pod; a headless Service without ports lists its addresses under no port."""
    if not service.spec.ports and is_headless(service):
        return [None]
    numbers = ((port, target_port(pod, port)) for port in service.spec.ports)
    return [
        SubsetPort(port=number, name=port.name, protocol=port.protocol, app_protocol=port.app_protocol)
        for port, number in numbers
        if number is not None
    ]


def _packed(hosts: dict[SubsetPort | None, set[Host]]) -> list[EndpointSubset]:
    """One subset for each set of hosts, with all ports that exactly these hosts offer."""
    by_hosts: defaultdict[frozenset[Host], list[SubsetPort]] = defaultdict(list)
    for port, offered in hosts.items():
        by_hosts[frozenset(offered)] += [port] if port else []
    subsets = [_subset(group, ports) for group, ports in by_hosts.items()]
    return sorted(subsets, key=lambda subset: [_port_order(port) for port in subset.ports or ()])


def _subset(hosts: Iterable[Host], ports: list[SubsetPort]) -> EndpointSubset:
    ordered = sorted(
        hosts, key=lambda host: (host[0].ip, host[0].target_ref.uid if host[0].target_ref else "")
    )
    return EndpointSubset(
        addresses=tuple(address for address, ready in ordered if ready),
        not_ready_addresses=tuple(address for address, ready in ordered if not ready),
        ports=tuple(sorted(ports, key=_port_order)),
    )


def _port_order(port: SubsetPort) -> tuple[str, int, str]:
    return port.name, port.port, port.protocol


def truncated(subsets: Sequence[EndpointSubset], capacity: int = CAPACITY) -> list[EndpointSubset]:
    """The subsets with at most `capacity` addresses, ready ones first, each subset keeping its share."""
    ready = sum(len(subset.addresses or ()) for subset in subsets)
    waiting = sum(len(subset.not_ready_addresses or ()) for subset in subsets)
    if ready + waiting <= capacity:
        return list(subsets)
    if ready > capacity:
        keep = _shares([len(subset.addresses or ()) for subset in subsets], capacity)
        return [
            msgspec.structs.replace(
                subset, addresses=(subset.addresses or ())[:count], not_ready_addresses=()
            )
            for subset, count in zip(subsets, keep, strict=True)
        ]
    keep = _shares([len(subset.not_ready_addresses or ()) for subset in subsets], capacity - ready)
    return [
        msgspec.structs.replace(subset, not_ready_addresses=(subset.not_ready_addresses or ())[:count])
        for subset, count in zip(subsets, keep, strict=True)
    ]


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    """Split `room` by size, rounding up; the last ones get what is left."""
    whole, left = sum(sizes), room
    shares = []
    for size in sizes:
        shares.append(min(math.ceil(size * room / whole), left))
        left -= shares[-1]
    return shares


class Pace:
    """Large objects are written less often: one of n addresses at most every n milliseconds.

    Each change of one Pod writes all addresses anew, and sends them to every watcher; without a pace,
    starting or stopping n Pods would cost the API server n * n addresses.
    """

    SECONDS_PER_ADDRESS = 0.001

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next: dict[Key, float] = {}

    def wait(self, key: Key) -> float:
        """Seconds until the next write; 0 or less if it may be written now."""
        now = self._clock.monotonic()
        return self._next.get(key, now) - now

    def wrote(self, key: Key, addresses: int) -> None:
        self._next[key] = self._clock.monotonic() + addresses * self.SECONDS_PER_ADDRESS

    def forget(self, key: Key) -> None:
        self._next.pop(key, None)


class EndpointsController:
    name = "endpoints-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client = ctx.client
        self._events = ctx.events
        self._services = ctx.informer(Service)
        self._pods = ctx.informer(Pod)
        self._endpoints = ctx.informer(Endpoints)
        self._latest = Latest(self._endpoints)
        self._pace = Pace(ctx.clock)
        self._trigger_times = TriggerTimes()
        self._doomed: set[Key] = set()
        """Endpoints that go when they are looked at and have no Service (any more)."""
        self._services.on_change(self._service_changed)
        Wakeups(ctx.queue, self._services, self._pods, options.endpoint_updates_batch_period)
        self._starting = True
        self._endpoints.on_change(self._endpoints_changed)
        self._starting = False
        self._endpoints.on_change(ctx.queue.wake)

    def _service_changed(self, old: Service | None, new: Service | None) -> None:
        if old is not None and new is None:
            self._doomed.add(old.key)

    def _endpoints_changed(self, old: Endpoints | None, new: Endpoints | None) -> None:
        """Those that are there at the start may have lost their Service while nobody looked."""
        first = self._starting or not self._endpoints.synced
        if first and new is not None and LEADER not in new.metadata.annotations:
            self._doomed.add(new.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        service = self._services.get(key)
        current = self._latest.get(key)
        if service is None:
            self._trigger_times.forget(key)
            self._pace.forget(key)
            await self._delete(key, current)
            return None
        if not has_endpoints(service):
            return None
        if (wait := self._pace.wait(key)) > 0:
            return Requeue(wait)
        pods = selected(service, self._pods.list(key.namespace))
        time = self._trigger_times.observe(service, pods)
        subsets = subsets_of(service, pods)
        cut = truncated(subsets)
        if current is None or _differs(current, service, cut, over_capacity=cut != subsets):
            await self._write(service, current, cut, time, over_capacity=cut != subsets)
            self._pace.wrote(key, sum(len(entry.addresses or ()) for entry in cut))
        return None

    async def _delete(self, key: Key, current: Endpoints | None) -> None:
        """No ownerReference makes Endpoints go with their Service."""
        if current is not None:
            meta = current.metadata
            if key in self._doomed or meta.labels.get(MANAGED_BY_LABEL) == MANAGER:
                with suppress(NotFound):
                    await self._client.delete(Endpoints, meta.name, meta.namespace, uid=meta.uid)
        self._doomed.discard(key)

    async def _write(
        self,
        service: Service,
        current: Endpoints | None,
        subsets: Sequence[EndpointSubset],
        time: str | None,
        *,
        over_capacity: bool,
    ) -> None:
        annotations = {TRIGGER_TIME: time, OVER_CAPACITY: TRUNCATED if over_capacity else None}
        body: Object = {
            "metadata": {"labels": _labels(service), "annotations": annotations},
            "subsets": [_subset_body(subset) for subset in subsets] or None,
        }
        log.info("writing endpoints key=%s subsets=%d", service.key, len(subsets))
        try:
            if current is None:
                await self._create(service, body)
            else:
                labels = dict.fromkeys(current.metadata.labels, None) | body["metadata"]["labels"]
                body["metadata"]["labels"] = labels
                meta = current.metadata
                patch = guarded(meta, body)
                self._latest.wrote(await self._client.patch(Endpoints, meta.name, meta.namespace, patch))
        except ApiError as error:
            if current is None and namespace_is_terminating(error):
                return
            self._latest.forget(service.key)
            self._tell_failure(service, current, error)
            raise

    async def _create(self, service: Service, body: Object) -> None:
        annotations = body["metadata"]["annotations"].items()
        metadata = body["metadata"] | {
            "name": service.metadata.name,
            "namespace": service.metadata.namespace,
            "annotations": {key: value for key, value in annotations if value},
        }
        head = {"apiVersion": "v1", "kind": "Endpoints"}
        whole = {**head, "metadata": metadata, "subsets": body["subsets"] or []}
        self._latest.created(await self._client.create(Endpoints, whole))

    def _tell_failure(self, service: Service, current: Endpoints | None, error: ApiError) -> None:
        key = f"{service.metadata.namespace}/{service.metadata.name}"
        if current is None:
            message = f"Failed to create endpoint for service {key}: {error}"
            about = Endpoints(
                metadata=ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace)
            )
            self._events.event(about, "Warning", "FailedToCreateEndpoint", message)
        elif not isinstance(error, NotFound):
            message = f"Failed to update endpoint {key}: {error}"
            self._events.event(current, "Warning", "FailedToUpdateEndpoint", message)


def _labels(service: Service) -> dict[str, str]:
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels | {MANAGED_BY_LABEL: MANAGER}


def _differs(
    current: Endpoints, service: Service, subsets: Sequence[EndpointSubset], *, over_capacity: bool
) -> bool:
    mark = current.metadata.annotations.get(OVER_CAPACITY)
    if mark != (TRUNCATED if over_capacity else None) or current.metadata.labels != _labels(service):
        return True
    have = [_subset_body(subset) for subset in current.subsets or ()]
    return have != [_subset_body(subset) for subset in subsets]


def _subset_body(subset: EndpointSubset) -> Object:
    """The subset as JSON; ports always say their protocol, references name no resourceVersion."""
    body: Object = {}
    for field, name in (("addresses", "addresses"), ("not_ready_addresses", "notReadyAddresses")):
        listed: tuple[EndpointAddress, ...] = getattr(subset, field) or ()
        if listed:
            body[name] = [_address_body(address) for address in listed]
    if subset.ports:
        body["ports"] = [{**msgspec.to_builtins(port), "protocol": port.protocol} for port in subset.ports]
    return body


def _address_body(address: EndpointAddress) -> Object:
    body: Object = msgspec.to_builtins(address)
    body.get("targetRef", {}).pop("resourceVersion", None)
    return body
