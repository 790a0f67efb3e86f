"""Equal parts of a network, given out one after the other. No I/O.

Invariant: no two owners have the same part.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from .metrics import RangeMetrics

Network = IPv4Network | IPv6Network

MAX_BITS = 16
"""More than 65,536 parts of an IPv6 network are refused, as upstream does."""


class Exhausted(Exception):
    """No part is left."""

    def __init__(self) -> None:
        super().__init__(
            "CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range"
        )


class BadNetwork(ValueError):
    """A network that can't be divided like this."""


class Ranges:
    """The parts of `network` of `size` bits."""

    def __init__(self, network: Network, size: int) -> None:
        if not network.prefixlen <= size <= network.max_prefixlen:
            raise BadNetwork(f"the node CIDR mask size {size} does not fit into the cluster CIDR {network}")
        if network.version == 6 and size - network.prefixlen > MAX_BITS:
            raise BadNetwork("New CIDR set failed; the node CIDR size is too big")
        self._network = network
        self._size = size
        self._step = 1 << (network.max_prefixlen - size)
        self._count = 1 << (size - network.prefixlen)
        self._owners: dict[int, str] = {}
        self._next = 0
        self._metrics = RangeMetrics(str(network), self._count)

    @property
    def version(self) -> int:
        return self._network.version

    def take(self, owner: str) -> Network:
        """A free part, now of `owner`; those that were given back last come last. Raises Exhausted."""
        if len(self._owners) >= self._count:
            raise Exhausted
        tries = 1
        while self._next in self._owners:
            self._next = (self._next + 1) % self._count
            tries += 1
        index, self._next = self._next, (self._next + 1) % self._count
        self._owners[index] = owner
        self._metrics.taken(1, len(self._owners), tries)
        return self._part(index)

    def occupy(self, network: Network, owner: str) -> bool:
        """Make `network` the owner's; False where a part of it is somebody else's. What is outside of this
        network concerns nobody."""
        indexes = self._indexes(network)
        if any(self._owners.get(index, owner) != owner for index in indexes):
            return False
        before = len(self._owners)
        self._owners.update(dict.fromkeys(indexes, owner))
        self._metrics.taken(len(self._owners) - before, len(self._owners))
        return True

    def release(self, network: Network, owner: str) -> None:
        """Give back what is the owner's."""
        before = len(self._owners)
        for index in self._indexes(network):
            if self._owners.get(index) == owner:
                del self._owners[index]
        self._metrics.released(before - len(self._owners), len(self._owners))

    def covers(self, network: Network) -> bool:
        return network.version == self.version and network.overlaps(self._network)

    def _indexes(self, network: Network) -> range:
        if not self.covers(network):
            return range(0)
        first = max(int(network.network_address), int(self._network.network_address))
        last = min(int(network.broadcast_address), int(self._network.broadcast_address))
        base = int(self._network.network_address)
        return range((first - base) // self._step, (last - base) // self._step + 1)

    def _part(self, index: int) -> Network:
        return ip_network((int(self._network.network_address) + index * self._step, self._size))


def parse(text: str) -> Network | None:
    """A network as Nodes name it; None for nonsense."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
