"""The parts of a server that know what Services hold, put together: who claims, and who repairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kplane.api.clock import Clock, Entropy

from ..storage.store import Store
from .addresses import AddressAllocator, Network
from .allocators import ServiceClaims
from .generic import Registry
from .nodeports import PortAllocator
from .repair import Repair
from .repairevents import Reporter, Source
from .servicecidrs import ServiceCIDRs
from .writing import Author


class ServiceParts:
    """`ranges`: one for each IP family that the cluster has, the default family's first."""

    def __init__(
        self,
        store: Store,
        registry: Callable[[str, str, str], Registry],
        ranges: Sequence[Network],
        ports: range,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.ranges = ranges
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._cidrs = ServiceCIDRs(registry)
        self._ports = PortAllocator(store, ports, entropy)
        self._addresses = [
            AddressAllocator(store, network.version, self._cidrs.ready, clock, entropy) for network in ranges
        ]
        self.claims = ServiceClaims(self._addresses, self._ports)

    def repair(self, author: Author) -> Repair:
        """`author`: as whom it writes."""
        return Repair(
            Source(self._registry, author),
            self._addresses,
            self._cidrs.known,
            self._ports,
            Reporter(self._registry, author, self._clock, self._entropy),
            self._clock,
        )
