"""ServiceCIDR controller: a range of cluster addresses is there for as long as addresses need it.

Reads: ServiceCIDRs and IPAddresses, from informer caches.
Writes: the finalizer of ServiceCIDRs, and their condition Ready.
Elsewhere: giving out addresses (the API server).

Invariant: the finalizer goes only where every address that Services have lies in another range as well, and
some time after deletion began: an API server that has not seen the deletion yet may still give out addresses.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from kplane.api.errors import NotFound
from kplane.api.resource import Key
from kplane.api.types import Condition
from kplane.api.types.networking import IPAddress, ServiceCIDR
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .status import condition_body, guarded

log = logging.getLogger(__name__)

Network: TypeAlias = IPv4Network | IPv6Network

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE = timedelta(seconds=10)
MANAGED_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
_IN_USE = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)


def needed(cidr: ServiceCIDR, others: Iterable[ServiceCIDR], addresses: Iterable[str]) -> bool:
    """Whether some address lies in this range and in no other."""
    rest = [network for other in others for network in networks(other)]
    alone = [network for network in networks(cidr) if not any(_contains(wide, network) for wide in rest)]
    for text in addresses if alone else ():
        address = _address(text)
        if address is None:
            continue
        if any(address in network for network in alone) and not any(address in network for network in rest):
            return True
    return False


def networks(cidr: ServiceCIDR) -> Sequence[Network]:
    """What is no range is none: it must not keep others from being judged."""
    found = []
    for text in cidr.spec.cidrs:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError:
            log.warning("not a range key=%s range=%s", cidr.key, text)
    return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _contains(wide: Network, narrow: Network) -> bool:
    return (
        wide.version == narrow.version
        and narrow.network_address in wide
        and (wide.prefixlen <= narrow.prefixlen)
    )


class ServiceCIDRController:
    name = "service-cidr-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._queue = ctx.queue
        self._cidrs = ctx.informer(ServiceCIDR)
        self._addresses = ctx.informer(IPAddress)
        self._cidrs.on_change(self._cidr_changed)
        self._addresses.on_change(self._address_changed)

    def _cidr_changed(self, old: ServiceCIDR | None, new: ServiceCIDR | None) -> None:
        """Another range may let one go that overlaps with it, or need it from now on."""
        for cidr in self._cidrs.list():
            if cidr.metadata.deletion_timestamp is not None:
                self._queue.add(cidr.key)
        if new is not None:
            self._queue.add(new.key)

    def _address_changed(self, old: IPAddress | None, new: IPAddress | None) -> None:
        if new is not None:
            return
        for cidr in self._cidrs.list():
            if cidr.metadata.deletion_timestamp is not None:
                self._queue.add(cidr.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        cidr = self._cidrs.get(key)
        if cidr is None:
            return None
        try:
            if cidr.metadata.deletion_timestamp is not None:
                return await self._let_go(cidr)
            if FINALIZER not in cidr.metadata.finalizers:
                await self._set_finalizers(cidr, [*cidr.metadata.finalizers, FINALIZER])
            await self._say(cidr, "True", "", "Kubernetes Service CIDR is ready")
        except NotFound:
            pass  # It is gone, which ends what there is to do.
        return None

    async def _let_go(self, cidr: ServiceCIDR) -> Requeue | None:
        meta = cidr.metadata
        if FINALIZER not in meta.finalizers or meta.deletion_timestamp is None:
            return None
        others = [other for other in self._cidrs.list() if other.key != cidr.key]
        if needed(cidr, others, self._given_out()):
            await self._say(cidr, "False", "Terminating", _IN_USE)
            return None
        left = (meta.deletion_timestamp + GRACE - self._clock.now()).total_seconds()
        if left > 0:
            return Requeue(left)
        await self._set_finalizers(cidr, [name for name in meta.finalizers if name != FINALIZER])
        log.info("let range go key=%s", cidr.key)
        return None

    def _given_out(self) -> Iterable[str]:
        for address in self._addresses.list():
            if address.metadata.labels.get(MANAGED_LABEL) == MANAGER:
                yield address.metadata.name

    async def _set_finalizers(self, cidr: ServiceCIDR, finalizers: list[str]) -> None:
        body = guarded(cidr.metadata, {"metadata": {"finalizers": finalizers}})
        await self._client.patch(ServiceCIDR, cidr.metadata.name, "", body)

    async def _say(self, cidr: ServiceCIDR, status: str, reason: str, message: str) -> None:
        """Set the condition Ready; one that says so already stays as it is."""
        conditions = cidr.status.conditions
        known = next((entry for entry in conditions if entry.type == "Ready"), None)
        if known is not None and (known.status, known.reason) == (status, reason):
            return
        now = self._clock.now()
        ready = condition_body(Condition(type="Ready", status=status, last_transition_time=now))
        # Both are required of a condition, even where there is nothing to say.
        ready |= {"reason": reason, "message": message}
        others = [condition_body(entry) for entry in conditions if entry.type != "Ready"]
        body = {"status": {"conditions": [*others, ready]}}
        await self._client.patch(ServiceCIDR, cidr.metadata.name, "", body, subresource="status")
        log.info("range ready=%s key=%s", status, cidr.key)
