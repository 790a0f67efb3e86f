"""Finds where Services and what is claimed for them disagree, says so in Events, and repairs it.

Reads: Services, IPAddresses and ServiceCIDRs from the watch caches, the node ports' record from the store.
Writes: IPAddresses, that record, Events. Runs at the start and every three minutes, in every API server: each
repair is a comparison with the store, so that two of them do no harm.

Rules, reasons and messages: upstream's `ipallocator/controller` and `portallocator/controller`.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.resource import Object

from ..storage.store import StoreError
from .addresses import FAMILY_LABEL, MANAGED_LABEL, MANAGER, AddressAllocator, Network, Networks
from .allocators import canonical
from .nodeports import PortAllocator
from .repairevents import Finding, Reporter, Source

log = logging.getLogger(__name__)

INTERVAL = 180.0
ORPHAN_AGE = timedelta(seconds=60)
"""A claim without a Service may belong to a write that is under way; after so long it does not."""
LEAKS_BEFORE_CLEANUP = 3
"""How often a node port must be found without a Service before it is given back."""
_TRIES = 5


class Repair:
    """`addresses`: one allocator per family that the cluster has."""

    def __init__(
        self,
        source: Source,
        addresses: Sequence[AddressAllocator],
        networks: Networks,
        ports: PortAllocator,
        reporter: Reporter,
        clock: Clock,
    ) -> None:
        self._source = source
        self._addresses = {allocator.family: allocator for allocator in addresses}
        self._networks = networks
        self._ports = ports
        self._report = reporter
        self._clock = clock
        self._leaks: dict[int, int] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(INTERVAL)
            try:
                await self.once()
            except (StoreError, ApiError) as error:
                log.warning("cannot repair what Services hold error=%s", error)

    async def once(self) -> None:
        await self._repair_addresses()
        await self._repair_ports()

    async def _repair_addresses(self) -> None:
        networks = await self._networks()
        # Addresses first: one that was claimed later than these Services were read is left alone.
        claims = {obj["metadata"]["name"]: obj for obj in await self._source.addresses()}
        services = {_key(obj): obj for obj in await self._source.services()}
        for service in services.values():
            for address in _addresses(service):
                await self._repair_address(service, address, claims, services, networks)
        for name, claim in claims.items():
            why = orphan(claim, services, self._clock.now())
            if why is not None and await self._source.drop_address(claim):
                log.info("address given back address=%s", name)
                await self._report.address(why)

    async def _repair_address(
        self,
        service: Object,
        address: str,
        claims: Mapping[str, Object],
        services: Mapping[tuple[str, str], Object],
        networks: Sequence[Network],
    ) -> None:
        verdict = judge(service, address, claims.get(address), services, networks)
        if verdict is None:
            return
        allocator = self._addresses.get(f"IPv{ipaddress.ip_address(address).version}")
        if verdict.repairs and allocator is not None:
            if (claim := claims.get(address)) and not await self._source.drop_address(claim):
                return
            meta = service["metadata"]
            if not await allocator.restore(address, meta["namespace"], meta["name"]):
                return
        if verdict.reason:
            await self._report.address(verdict)

    async def _repair_ports(self) -> None:
        for _ in range(_TRIES):
            taken, revision = await self._ports.snapshot()
            plan = plan_ports(self._ports.range, taken, await self._source.services(), self._leaks)
            if plan.keep == taken or await self._ports.restore(plan.keep, revision):
                self._leaks = dict(plan.leaks)
                for finding in plan.findings:
                    await self._report.port(finding)
                return


def judge(
    service: Object,
    address: str,
    claim: Object | None,
    services: Mapping[tuple[str, str], Object],
    networks: Sequence[Network],
) -> Finding | None:
    """What is wrong with one address of a Service; None if nothing is."""
    value, meta = ipaddress.ip_address(address), service["metadata"]
    family = f"[IPv{value.version}]"
    action = "ClusterIPAllocation"
    if not any(value in network for network in networks):
        where = "is not within any configured Service CIDR"
        text = f"Cluster IP {family}: {address} {where}; please recreate service"
        return Finding(service, "ClusterIPOutOfRange", action, text)
    if claim is None:
        text = f"Cluster IP {family}: {address} is not allocated; repairing"
        return Finding(service, "ClusterIPNotAllocated", action, text, repairs=True)
    parent = _parent(claim)
    if parent != _key(service):
        other = services.get(parent) if parent else None
        if other is None or address not in _addresses(other):
            what = f"{address} for Service {meta['namespace']}/{meta['name']}"
            text = f"the ClusterIP {family}: {what} has a wrong reference; repairing"
            return Finding(service, "ClusterIPNotAllocated", action, text, repairs=True)
        text = f"Cluster IP {family}:{address} was assigned to multiple services; please recreate service"
        return Finding(service, "ClusterIPAlreadyAllocated", action, text)
    labels = claim["metadata"].get("labels") or {}
    if labels.get(FAMILY_LABEL) != f"IPv{value.version}" or labels.get(MANAGED_LABEL) != MANAGER:
        return Finding(service, "", action, "", repairs=True)
    return None


def orphan(claim: Object, services: Mapping[tuple[str, str], Object], now: datetime) -> Finding | None:
    """Why an address that was claimed for a Service is to be given back; None if it is not."""
    meta = claim["metadata"]
    if (meta.get("labels") or {}).get(MANAGED_LABEL) != MANAGER:
        return None
    name, parent, action = meta["name"], _parent(claim), "IPAddressAllocation"
    if parent is None:
        text = f"IPAddress {name} appears to have been modified, not referencing a Service: cleaning up"
        return Finding(claim, "IPAddressNotAllocated", action, text)
    service = services.get(parent)
    if service is not None and name in _addresses(service):
        return None
    if datetime.fromisoformat(meta["creationTimestamp"]) >= now - ORPHAN_AGE:
        return None
    what = f"IPAddress: {name} for Service {parent[0]}/{parent[1]}"
    if service is None:
        return Finding(claim, "IPAddressNotAllocated", action, f"{what} appears to have leaked: cleaning up")
    return Finding(claim, "IPAddressWrongReference", action, f"{what} has a wrong reference; cleaning up")


@dataclass(frozen=True)
class PortPlan:
    keep: frozenset[int]
    """The ports that are in use from now on."""
    leaks: Mapping[int, int]
    """Ports without a Service, with how often more they may be found so."""
    findings: Sequence[Finding] = field(default_factory=list)


def plan_ports(
    ports: range, taken: Collection[int], services: Sequence[Object], leaks: Mapping[int, int]
) -> PortPlan:
    rebuilt: set[int] = set()
    findings: list[Finding] = []
    for service in services:
        for port in node_ports(service):
            reason, text = "", ""
            if port not in ports:
                span = f"{ports.start}-{ports.stop - 1}"
                reason = "PortOutOfRange"
                text = f"Port {port} is not within the port range {span}; please recreate service"
            elif port in rebuilt:
                reason = "PortAlreadyAllocated"
                text = f"Port {port} was assigned to multiple services; please recreate service"
            elif port not in taken:
                reason, text = "PortNotAllocated", f"Port {port} is not allocated; repairing"
            if port in ports:
                rebuilt.add(port)
            if reason:
                findings.append(Finding(service, reason, "", text))
    later = {}
    for port in set(taken) - rebuilt:
        left = leaks.get(port, LEAKS_BEFORE_CLEANUP - 1)
        if left > 0:
            later[port] = left - 1
            rebuilt.add(port)
    return PortPlan(frozenset(rebuilt), later, findings)


def node_ports(service: Object) -> Iterator[int]:
    """What a Service holds; a number that it uses twice for one protocol comes twice."""
    seen: dict[int, set[str]] = {}
    for port in service["spec"].get("ports") or ():
        number, protocol = port.get("nodePort", 0), port.get("protocol", "TCP")
        if number and (number not in seen or protocol in seen[number]):
            yield number
        seen.setdefault(number, set()).add(protocol)
    health = service["spec"].get("healthCheckNodePort", 0)
    if health and (health not in seen or "TCP" in seen[health]):
        yield health


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _parent(claim: Object) -> tuple[str, str] | None:
    """The Service that an address is claimed for."""
    parent = (claim.get("spec") or {}).get("parentRef") or {}
    if parent.get("group") or parent.get("resource") != "services":
        return None
    return parent.get("namespace", ""), parent.get("name", "")


def _addresses(service: Object) -> list[str]:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return []
    given = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    return [canonical(address) for address in given if address and address != "None"]
