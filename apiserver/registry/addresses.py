"""Cluster addresses of one IP family: each one that is given out is an IPAddress object in the store.

Which networks they come from is what the ServiceCIDR objects say at that moment; only those that are ready
and not being deleted give out addresses. Creating the object is the claim: it fails where somebody else was
first, so that two API servers never give out one address twice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.resource import Object

from ..storage import codec
from ..storage.store import CompareFailed, Store

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks: TypeAlias = Callable[[], Awaitable[Sequence[Network]]]
"""The networks, of any family, that addresses may come from now."""

IP_PREFIX = "/registry/ipaddresses/"
FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
_RANDOM_TRIES = 64
_MIN_RESERVED, _MAX_RESERVED, _RESERVED_SHARE = 16, 256, 16


class Taken(Exception):
    """It cannot be had; the text is upstream's."""


class AddressAllocator:
    """The addresses of one family: 4 or 6."""

    def __init__(
        self, store: Store, version: int, networks: Networks, clock: Clock, entropy: Entropy
    ) -> None:
        self._store = store
        self._version = version
        self._networks = networks
        self._clock = clock
        self._entropy = entropy

    @property
    def family(self) -> str:
        return f"IPv{self._version}"

    async def claim(self, text: str, namespace: str, name: str, *, dry_run: bool) -> None:
        """Raises Taken."""
        address = ipaddress.ip_address(text)
        network = next((network for network in await self._mine() if address in network), None)
        if network is None:
            raise Taken("the provided network does not match the current range")
        if not _usable(address, network):
            raise Taken(
                f"the provided IP ({text}) is not in the valid range. The range of valid IPs is {network}"
            )
        if not await self._put(address, namespace, name, dry_run):
            raise Taken("provided IP is already allocated")

    async def claim_any(self, namespace: str, name: str, *, dry_run: bool) -> str:
        """Raises Taken when every network is full."""
        for network in await self._mine():
            for address in self._candidates(network):
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

    async def restore(self, text: str, namespace: str, name: str) -> bool:
        """Claim what a Service holds already; whether it was free."""
        return await self._put(ipaddress.ip_address(text), namespace, name, dry_run=False)

    async def _mine(self) -> Sequence[Network]:
        return [network for network in await self._networks() if network.version == self._version]

    def _candidates(self, network: Network) -> Iterable[Address]:
        """Random addresses first, which are free in any range that is not nearly full; then all in order.
        The first few of a range are left to those who ask for them (upstream's dynamic upper band)."""
        first, last = _bounds(network)
        low = first + reserved(network)
        for _ in range(_RANDOM_TRIES if low <= last else 0):
            yield network[min(int(self._entropy.uniform(low, last + 1)), last)]
        for index in (*range(low, min(last + 1, low + _ORDERED)), *range(first, min(low, last + 1))):
            yield network[index]

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
                "labels": {FAMILY_LABEL: self.family, MANAGED_LABEL: MANAGER},
            },
            "spec": {
                "parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}
            },
        }


_ORDERED = 1 << 20
"""How many addresses of a network are tried in order: a /108 holds as many."""


def reserved(network: Network) -> int:
    """How many addresses at the start of a network are given out by request only while others are free."""
    size = network.num_addresses
    if size <= _MIN_RESERVED:
        return 0
    return min(max(_MIN_RESERVED, size // _RESERVED_SHARE), _MAX_RESERVED)


def _bounds(network: Network) -> tuple[int, int]:
    """Index of the first and the last address that can be given out: an IPv6 network has no broadcast."""
    last = network.num_addresses - 1
    return 1, last - 1 if network.version == 4 else last


def _usable(address: Address, network: Network) -> bool:
    first, last = _bounds(network)
    return first <= int(address) - int(network.network_address) <= last
