"""What Services hold of the cluster, claimed before the Service is written.

Cluster addresses are given out in `addresses.py`, node ports in `nodeports.py`; which families the addresses
have is decided in `families.py`.

Invariant: while a Service exists, what its spec holds is claimed. A crash between claim and write leaves a
claim without a Service; `repair.py` finds those and gives them back.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from kplane.api.errors import InternalError, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .addresses import AddressAllocator, Taken
from .families import change_faults, settle
from .nodeports import PortAllocator
from .services import has_node_ports, needs_health_check

__all__ = ["Holdings", "ServiceClaims"]


@dataclass(frozen=True)
class Holdings:
    """What a Service's spec holds."""

    addresses: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    @staticmethod
    def of(service: Object | None) -> Holdings:
        spec = service["spec"] if service else {}
        if spec.get("type") == "ExternalName" or not spec:
            return Holdings()
        addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
        ports = {spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set()
        if has_node_ports(spec):
            ports |= {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
        return Holdings(frozenset(map(canonical, filter(_is_set, addresses))), frozenset(ports))


@dataclass
class _Claimed:
    """What one write has claimed so far."""

    addresses: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)


class ServiceClaims:
    """The Claim of Services: fills in and claims what a new spec needs, gives back what it no longer has."""

    def __init__(self, addresses: Sequence[AddressAllocator], ports: PortAllocator) -> None:
        """`addresses`: one for each family that the cluster has, the default one first."""
        self._addresses = {allocator.family: allocator for allocator in addresses}
        self._ports = ports

    def __call__(
        self, new: Object | None, old: Object | None, dry_run: bool
    ) -> AbstractAsyncContextManager[None]:
        return self._claim(new, old, dry_run)

    @asynccontextmanager
    async def _claim(self, new: Object | None, old: Object | None, dry_run: bool) -> AsyncIterator[None]:
        held, claimed = Holdings.of(old), _Claimed()
        try:
            if new is not None:
                self._settle_families(new, old)
                await self._fill(new, held, claimed, dry_run)
            yield
        except BaseException:
            if not dry_run:
                await self._release(claimed.addresses, claimed.ports)
            raise
        kept = Holdings.of(new)
        if not dry_run:
            await self._release(held.addresses - kept.addresses, held.ports - kept.ports)

    async def _release(self, addresses: Collection[str], ports: Collection[int]) -> None:
        # Any of them can give back any address.
        await next(iter(self._addresses.values())).release(addresses)
        await self._ports.release(ports)

    def _settle_families(self, new: Object, old: Object | None) -> None:
        was = old["spec"] if old else None
        faults = settle(new["spec"], was, [*self._addresses])
        if not faults and was is not None:
            faults = [*change_faults(new["spec"], was)]
        if faults:
            raise invalid("Service", "", new["metadata"]["name"], faults)

    async def _fill(self, service: Object, held: Holdings, claimed: _Claimed, dry_run: bool) -> None:
        spec, name = service["spec"], service["metadata"]["name"]
        if spec.get("type") == "ExternalName":
            return
        await self._fill_addresses(service, held, claimed, dry_run)
        path = Path("spec")
        if has_node_ports(spec) and _wants_ports(spec):
            await self._fill_ports(name, spec.get("ports") or [], held, claimed, dry_run)
        if needs_health_check(spec):
            number = spec.get("healthCheckNodePort", 0)
            at = path.healthCheckNodePort
            spec["healthCheckNodePort"] = await self._port(name, number, at, held, claimed, dry_run)

    async def _fill_addresses(
        self, service: Object, held: Holdings, claimed: _Claimed, dry_run: bool
    ) -> None:
        spec = service["spec"]
        given: list[str] = list(spec.get("clusterIPs") or [])
        if given[:1] == ["None"]:
            return
        for index, family in enumerate(spec.get("ipFamilies") or ()):
            asked = given[index] if index < len(given) else ""
            if asked and canonical(asked) in held.addresses:
                continue
            address = await self._address(service, self._addresses[family], asked, dry_run)
            claimed.addresses.add(canonical(address))
            given[index:] = [address, *given[index + 1 :]]
        if given:
            spec["clusterIP"], spec["clusterIPs"] = given[0], given

    async def _address(self, service: Object, allocator: AddressAllocator, asked: str, dry_run: bool) -> str:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        try:
            if not asked:
                return await allocator.claim_any(namespace, name, dry_run=dry_run)
            await allocator.claim(asked, namespace, name, dry_run=dry_run)
        except Taken as taken:
            raise _refused(name, service["spec"], asked, taken) from taken
        return asked

    async def _fill_ports(
        self, name: str, ports: list[Object], held: Holdings, claimed: _Claimed, dry_run: bool
    ) -> None:
        used: dict[int, set[str]] = {}
        for index, port in enumerate(ports):
            number, protocol = port.get("nodePort", 0), port.get("protocol", "TCP")
            # One number may serve several protocols of the same Service.
            shared = number and protocol not in used.get(number, {protocol})
            if not shared:
                at = Path("spec").ports[index].nodePort
                number = await self._port(name, number, at, held, claimed, dry_run)
            port["nodePort"] = number
            used.setdefault(number, set()).add(protocol)

    async def _port(
        self, name: str, number: int, at: Path, held: Holdings, claimed: _Claimed, dry_run: bool
    ) -> int:
        if number in held.ports and number not in claimed.ports:
            return number
        try:
            if number:
                await self._ports.claim(number, dry_run=dry_run)
            else:
                number = await self._ports.claim_any(dry_run=dry_run)
        except Taken as taken:
            if not number:
                raise InternalError(f"failed to allocate a nodePort: {taken}") from taken
            raise invalid("Service", "", name, [at.invalid(number, str(taken))]) from taken
        claimed.ports.add(number)
        return number


def canonical(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _is_set(address: str) -> bool:
    return bool(address) and address != "None"


def _wants_ports(spec: Object) -> bool:
    return spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True) is not False


def _refused(name: str, spec: Object, asked: str, taken: Taken) -> Exception:
    if not asked:
        return InternalError(f"failed to allocate a serviceIP: {taken}")
    text = f"failed to allocate IP {asked}: {taken}"
    fault: FieldError = Path("spec").clusterIPs.invalid(spec.get("clusterIPs") or [], text)
    return invalid("Service", "", name, [fault])
