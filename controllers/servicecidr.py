"""ServiceCIDR controller: ranges of Service addresses are ready, and go only when no address would be left alone.

Reads: ServiceCIDRs and IPAddresses, from informer caches. Writes: the finalizer and the Ready condition of
ServiceCIDRs. Elsewhere: giving out addresses (the API server).

Invariant: an address that the API server gave out is in some ServiceCIDR that stays.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, ClassVar

from kplane.api.clock import rfc3339
from kplane.api.errors import NotFound
from kplane.api.resource import Key, Object, Resource
from kplane.api.types import Condition, PartialObjectMetadata
from kplane.api.types.meta import Part, View, condition
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .status import condition_body, guarded, without

log = logging.getLogger(__name__)

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
GRACE_SECONDS = 10.0
"""Time in which every API server has seen that the range is going, and gives out nothing of it any more."""

READY = "Kubernetes Service CIDR is ready"
TERMINATING = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)

Network = IPv4Network | IPv6Network


class ServiceCIDRSpec(Part, frozen=True):
    cidrs: tuple[str, ...] | None = ()


class ServiceCIDRStatus(Part, frozen=True):
    conditions: tuple[Condition, ...] = ()


class ServiceCIDR(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ServiceCIDRSpec = ServiceCIDRSpec()
    status: ServiceCIDRStatus = ServiceCIDRStatus()


ServiceCIDR.API = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False, ServiceCIDR)
ADDRESSES = Resource("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False, PartialObjectMetadata)


def networks(cidr: ServiceCIDR) -> Iterator[Network]:
    for text in cidr.spec.cidrs or ():
        if (network := parse(text)) is not None:
            yield network


def parse(text: str) -> Network | None:
    """A network, or an address as one; None for nonsense."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def contains(cidr: ServiceCIDR, inner: Network) -> bool:
    return any(
        outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]
        for outer in networks(cidr)
    )


def may_go(cidr: ServiceCIDR, all_of_them: Iterable[ServiceCIDR], addresses: Iterable[str]) -> bool:
    """Whether no address that was given out is in this range alone."""
    others = [other for other in all_of_them if other.metadata.name != cidr.metadata.name]
    if all(any(contains(other, network) for other in others) for network in networks(cidr)):
        return True
    inside = (found for text in addresses if (found := parse(text)) is not None and contains(cidr, found))
    return all(any(contains(other, address) for other in others) for address in inside)


class ServiceCIDRController:
    name = "service-cidr-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._queue = ctx.client, ctx.clock, ctx.queue
        self._cidrs = ctx.informer(ServiceCIDR)
        self._addresses = ctx.informer(ADDRESSES)
        self._cidrs.on_change(self._cidr_changed)
        self._addresses.on_change(self._address_changed)

    def _cidr_changed(self, old: ServiceCIDR | None, new: ServiceCIDR | None) -> None:
        """A range that comes or goes decides on those that it overlaps."""
        changed = new or old
        assert changed is not None
        self._queue.add(changed.key)
        if old is not None and new is not None and old.spec == new.spec:
            return
        for other in self._cidrs.list():
            if any(contains(other, network) for network in networks(changed)) or any(
                contains(changed, network) for network in networks(other)
            ):
                self._queue.add(other.key)

    def _address_changed(self, old: PartialObjectMetadata | None, new: PartialObjectMetadata | None) -> None:
        if old is not None and new is not None:
            return
        changed = new or old
        assert changed is not None
        network = parse(changed.metadata.name)
        for cidr in self._cidrs.list():
            going = cidr.metadata.deletion_timestamp is not None
            if going and network is not None and contains(cidr, network):
                self._queue.add(cidr.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        cidr = self._cidrs.get(key)
        if cidr is None:
            return None
        try:
            if cidr.metadata.deletion_timestamp is not None:
                return await self._let_go(cidr, cidr.metadata.deletion_timestamp)
            if FINALIZER not in cidr.metadata.finalizers:
                await self._patch(cidr, {"metadata": {"finalizers": [*cidr.metadata.finalizers, FINALIZER]}})
                return None  # What was written wakes this one again.
            await self._say(cidr, "True", "", READY)
        except NotFound:
            return None
        return None

    async def _let_go(self, cidr: ServiceCIDR, since: datetime) -> Requeue | None:
        given = (entry for entry in self._addresses.list() if entry.metadata.labels.get(MANAGED_BY) == ALLOCATOR)
        if not may_go(cidr, self._cidrs.list(), (entry.metadata.name for entry in given)):
            await self._say(cidr, "False", "Terminating", TERMINATING)
            return None
        left = GRACE_SECONDS - (self._clock.now() - since).total_seconds()
        if left > 0:
            return Requeue(left)
        if FINALIZER in cidr.metadata.finalizers:
            rest = [name for name in cidr.metadata.finalizers if name != FINALIZER]
            await self._patch(cidr, {"metadata": {"finalizers": rest}})
            log.info("let go key=%s", cidr.key)
        return None

    async def _say(self, cidr: ServiceCIDR, status: str, reason: str, message: str) -> None:
        old = condition(cidr.status.conditions, "Ready")
        if old is not None and (old.status, old.reason) == (status, reason):
            return
        new = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        kept = [
            {"reason": "", "message": ""} | condition_body(entry)
            for entry in without(cidr.status.conditions, "Ready")
        ]
        await self._patch(cidr, {"status": {"conditions": [*kept, new]}}, "status")

    async def _patch(self, cidr: ServiceCIDR, body: Object, subresource: str = "") -> None:
        await self._client.patch(
            ServiceCIDR, cidr.metadata.name, "", guarded(cidr.metadata, body), subresource=subresource
        )
