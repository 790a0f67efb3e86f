"""Cluster addresses and node ports of Services: claimed in the store before the Service is written.

An address is claimed by creating its IPAddress object, ports by swapping the one RangeAllocation that has a
bit for each; both are upstream's own records. A claim that loses a race fails in the store, so that two API
servers never give out one address or port twice.

Invariant: while a Service exists, what its spec holds is claimed. A crash between claim and write leaves a
claim without a Service; `release_orphans` gives those back at the next start.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.errors import InternalError, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..storage import codec
from ..storage.store import CompareFailed, Store

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

IP_PREFIX = "/registry/ipaddresses/"
PORTS_KEY = "/registry/ranges/servicenodeports"
ORPHAN_AGE = timedelta(seconds=60)
"""A claim without a Service may belong to a write that is under way; after so long it does not."""
_RANDOM_TRIES = 64
_NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


class Taken(Exception):
    """Somebody else has it; the text is upstream's."""


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
        if spec.get("type") in _NODE_PORT_TYPES:
            ports |= {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
        return Holdings(frozenset(ip for ip in addresses if ip and ip != "None"), frozenset(ports))


@dataclass
class _Claimed:
    """What one write has claimed so far."""

    addresses: set[str] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)


class AddressAllocator:
    """The addresses of one range, as IPAddress objects in the store."""

    def __init__(self, store: Store, network: Network, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._network = network
        self._clock = clock
        self._entropy = entropy

    @property
    def first(self) -> Address:
        """The address of the `kubernetes` Service."""
        return self._network[1]

    @property
    def family(self) -> str:
        return f"IPv{self._network.version}"

    async def claim(self, text: str, namespace: str, name: str, *, dry_run: bool) -> None:
        """Raises Taken."""
        address = ipaddress.ip_address(text)
        if address not in self._network or not self._usable(address):
            raise Taken(
                f"the provided IP ({text}) is not in the valid range. The range of valid IPs is "
                f"{self._network}"
            )
        if not await self._put(address, namespace, name, dry_run):
            raise Taken("provided IP is already allocated")

    async def claim_any(self, namespace: str, name: str, *, dry_run: bool) -> str:
        """Raises Taken when the range is full."""
        for address in self._candidates():
            if await self._put(address, namespace, name, dry_run):
                return str(address)
        raise Taken("range is full")

    async def release(self, addresses: Iterable[str]) -> None:
        for text in addresses:
            try:
                await self._store.delete(IP_PREFIX + text, expect=None)
            except CompareFailed:
                # It was gone already, which is what was wanted.
                continue

    async def orphans(self, held: Collection[str], now: datetime) -> list[str]:
        """Claims that no Service holds, old enough that none is about to."""
        found = []
        for entry in (await self._store.range(IP_PREFIX)).entries:
            created = codec.decode(entry.value)["metadata"].get("creationTimestamp")
            old = created is None or datetime.fromisoformat(created) < now - ORPHAN_AGE
            if old and entry.key.removeprefix(IP_PREFIX) not in held:
                found.append(entry.key.removeprefix(IP_PREFIX))
        return found

    def _usable(self, address: Address) -> bool:
        return address not in (self._network.network_address, self._network.broadcast_address)

    def _candidates(self) -> Iterable[Address]:
        """Random addresses first, which are free in any range that is not nearly full; then all in order.
        The first few of a range are left to those who ask for them (upstream's dynamic upper band)."""
        size = self._network.num_addresses
        reserved = min(max(16, size // 16), 256)
        low = reserved if size > 2 * reserved else 1
        for _ in range(_RANDOM_TRIES):
            yield self._network[int(self._entropy.uniform(low, size - 1))]
        for index in (*range(low, size - 1), *range(1, low)):
            yield self._network[index]

    async def _put(self, address: Address, namespace: str, name: str, dry_run: bool) -> bool:
        key = f"{IP_PREFIX}{address}"
        if dry_run:
            return await self._store.get(key) is None
        try:
            await self._store.put(key, codec.encode(self._record(str(address), namespace, name)), expect=0)
        except CompareFailed:
            return False
        return True

    def _record(self, address: str, namespace: str, name: str) -> Object:
        return {
            "kind": "IPAddress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": address,
                "uid": self._entropy.uid(),
                "creationTimestamp": rfc3339(self._clock.now()),
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": self.family,
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            "spec": {
                "parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}
            },
        }


class PortAllocator:
    """Node ports, as one bitmap in the store."""

    def __init__(self, store: Store, ports: range, entropy: Entropy) -> None:
        self._store = store
        self._ports = ports
        self._entropy = entropy

    async def claim(self, port: int, *, dry_run: bool) -> None:
        """Raises Taken."""
        if port not in self._ports:
            raise Taken(
                "provided port is not in the valid range. The range of valid ports is "
                f"{self._ports.start}-{self._ports.stop - 1}"
            )

        def take(bits: bytearray) -> None:
            if _bit(bits, port - self._ports.start):
                raise Taken("provided port is already allocated")
            _set_bit(bits, port - self._ports.start, True)

        await self._swap(take, dry_run)

    async def claim_any(self, *, dry_run: bool) -> int:
        """Raises Taken when the range is full."""
        chosen = 0

        def take(bits: bytearray) -> None:
            nonlocal chosen
            free = [index for index in range(len(self._ports)) if not _bit(bits, index)]
            if not free:
                raise Taken("range is full")
            index = self._entropy.choice(free)
            _set_bit(bits, index, True)
            chosen = self._ports.start + index

        await self._swap(take, dry_run)
        return chosen

    async def release(self, ports: Collection[int]) -> None:
        def give(bits: bytearray) -> None:
            for port in ports:
                if port in self._ports:
                    _set_bit(bits, port - self._ports.start, False)

        if ports:
            await self._swap(give, dry_run=False)

    async def _swap(self, change: Callable[[bytearray], None], dry_run: bool) -> None:
        """Change the bitmap, again from its new state whenever somebody else was faster."""
        entry = await self._store.get(PORTS_KEY)
        while True:
            bits = self._bits(entry.value if entry else None)
            change(bits)
            if dry_run:
                return
            try:
                await self._store.put(PORTS_KEY, self._record(bits), expect=entry.revision if entry else 0)
                return
            except CompareFailed as failed:
                entry = failed.current

    def _bits(self, value: bytes | None) -> bytearray:
        size = (len(self._ports) + 7) // 8
        data = base64.b64decode(codec.decode(value).get("data", "")) if value else b""
        return bytearray(data[:size].ljust(size, b"\0"))

    def _record(self, bits: bytearray) -> bytes:
        return codec.encode(
            {
                "kind": "RangeAllocation",
                "apiVersion": "v1",
                "metadata": {},
                "range": f"{self._ports.start}-{self._ports.stop - 1}",
                "data": base64.b64encode(bits).decode(),
            }
        )


def _bit(bits: bytearray, index: int) -> bool:
    return bool(bits[index // 8] & (1 << (index % 8)))


def _set_bit(bits: bytearray, index: int, value: bool) -> None:
    mask = 1 << (index % 8)
    bits[index // 8] = bits[index // 8] | mask if value else bits[index // 8] & ~mask


class ServiceClaims:
    """The Claim of Services: fills in and claims what a new spec needs, gives back what it no longer has."""

    def __init__(self, addresses: AddressAllocator, ports: PortAllocator) -> None:
        self._addresses = addresses
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
                carry_over(new, old)
                await self._fill(new, held, claimed, dry_run)
            yield
        except BaseException:
            if not dry_run:
                await self._release(claimed.addresses, claimed.ports)
            raise
        kept = Holdings.of(new)
        if not dry_run:
            await self._release(held.addresses - kept.addresses, held.ports - kept.ports)

    async def release_orphans(self, services: Iterable[Object], now: datetime) -> None:
        """Give back addresses whose Service was never written."""
        held = {address for service in services for address in Holdings.of(service).addresses}
        await self._addresses.release(await self._addresses.orphans(held, now))

    async def _release(self, addresses: Collection[str], ports: Collection[int]) -> None:
        await self._addresses.release(addresses)
        await self._ports.release(ports)

    async def _fill(self, service: Object, held: Holdings, claimed: _Claimed, dry_run: bool) -> None:
        spec, name = service["spec"], service["metadata"]["name"]
        if spec.get("type") == "ExternalName":
            return
        try:
            await self._fill_address(service, held, claimed, dry_run)
        except Taken as taken:
            raise _refused(name, spec, taken) from taken
        path = Path("spec")
        if spec.get("type") in _NODE_PORT_TYPES and _wants_ports(spec):
            await self._fill_ports(name, spec.get("ports") or [], held, claimed, dry_run)
        if _wants_health_port(spec):
            number = spec.get("healthCheckNodePort", 0)
            at = path.healthCheckNodePort
            spec["healthCheckNodePort"] = await self._port(name, number, at, held, claimed, dry_run)

    async def _fill_address(self, service: Object, held: Holdings, claimed: _Claimed, dry_run: bool) -> None:
        spec, meta = service["spec"], service["metadata"]
        spec.setdefault("ipFamilies", [self._addresses.family])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        asked = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or []), "")
        if asked == "None":
            pass
        elif not asked:
            asked = await self._addresses.claim_any(meta["namespace"], meta["name"], dry_run=dry_run)
            claimed.addresses.add(asked)
        elif asked not in held.addresses:
            await self._addresses.claim(asked, meta["namespace"], meta["name"], dry_run=dry_run)
            claimed.addresses.add(asked)
        spec["clusterIP"] = asked
        spec["clusterIPs"] = [asked]

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


def carry_over(new: Object, old: Object | None) -> None:
    """An update that leaves out what the Service holds keeps it (upstream's patchAllocatedValues)."""
    if old is None:
        return
    now, was = new["spec"], old["spec"]
    if "ExternalName" not in (now.get("type"), was.get("type")) and not now.get("clusterIP"):
        for name in ("clusterIP", "clusterIPs"):
            if was.get(name) and not now.get(name):
                now[name] = was[name]
    if now.get("type") in _NODE_PORT_TYPES and was.get("type") in _NODE_PORT_TYPES:
        known = {_port_key(port): port.get("nodePort") for port in was.get("ports") or []}
        for port in now.get("ports") or []:
            if not port.get("nodePort") and known.get(_port_key(port)):
                port["nodePort"] = known[_port_key(port)]
    if _wants_health_port(now) and not now.get("healthCheckNodePort") and was.get("healthCheckNodePort"):
        now["healthCheckNodePort"] = was["healthCheckNodePort"]


def _port_key(port: Object) -> tuple[int, str]:
    return port["port"], port.get("protocol", "TCP")


def _wants_ports(spec: Object) -> bool:
    return spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True) is not False


def _wants_health_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _refused(name: str, spec: Object, taken: Taken) -> Exception:
    asked = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    if not asked:
        return InternalError(f"failed to allocate a serviceIP: {taken}")
    fault: FieldError = Path("spec").clusterIPs.invalid(asked, f"failed to allocate IP {asked[0]}: {taken}")
    return invalid("Service", "", name, [fault])
