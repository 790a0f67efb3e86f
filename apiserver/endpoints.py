"""The addresses behind the `kubernetes` Service: those of the API servers that run.

Each server keeps a lease under `/registry/masterleases/`, which the store forgets when the server dies; the
Endpoints and the EndpointSlice list the addresses whose leases are there (upstream's lease reconciler). With
the embedded store there is but one server, and the lease is written once.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Sequence

import msgspec

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.resource import Key, Object

from .bootstrap import SELF, FindRegistry, ensure
from .config import ApiServerConfig
from .registry.generic import Registry
from .storage.store import CompareFailed, Store, StoreError

log = logging.getLogger(__name__)

LEASES = "/registry/masterleases/"
LEASE_SECONDS = 15
RENEW_SECONDS = 10.0
_KEY = Key("default", "kubernetes")


class ServerEndpoints:
    """Keeps this server among the endpoints for as long as `run` runs."""

    def __init__(
        self, store: Store, registry: FindRegistry, clock: Clock, address: str, *, alone: bool
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._address = address
        self._alone = alone

    async def run(self, port: int) -> None:
        if ipaddress.ip_address(self._address).is_loopback:
            # No Endpoints may lead there: whoever listens on it alone has no Pods that could ask.
            log.info("this server is not announced address=%s: nobody else can reach it", self._address)
            return
        while True:
            try:
                await self._announce(port)
            except (StoreError, ApiError) as error:
                log.warning("cannot announce this server address=%s error=%s", self._address, error)
            else:
                if self._alone:
                    return
            await self._clock.sleep(RENEW_SECONDS)

    async def withdraw(self, port: int) -> None:
        """Leave the endpoints: no new connection should come here."""
        if self._alone:
            return
        try:
            await self._store.delete(LEASES + self._address, expect=None)
            await self._publish(await self._addresses(), port)
        except (StoreError, ApiError, CompareFailed) as error:
            # The lease runs out by itself.
            log.warning("cannot withdraw this server address=%s error=%s", self._address, error)

    async def _announce(self, port: int) -> None:
        addresses: Sequence[str] = [self._address]
        if not self._alone:
            lease = msgspec.json.encode({"kind": "Endpoints", "apiVersion": "v1", "metadata": {}})
            await self._store.put(LEASES + self._address, lease, expect=None, ttl=LEASE_SECONDS)
            addresses = await self._addresses()
        await self._publish(addresses, port)

    async def _addresses(self) -> Sequence[str]:
        page = await self._store.range(LEASES)
        return sorted(entry.key.removeprefix(LEASES) for entry in page.entries)

    async def _publish(self, addresses: Sequence[str], port: int) -> None:
        await _write(self._registry("", "v1", "endpoints"), _endpoints(addresses, port))
        slices = self._registry("discovery.k8s.io", "v1", "endpointslices")
        await _write(slices, _slice(addresses, port))


async def _write(registry: Registry, wanted: Object) -> None:
    """Create it, or bring everything but its metadata to what is wanted."""
    if await ensure(registry, wanted, _KEY.namespace):
        return
    content = {name: value for name, value in wanted.items() if name != "metadata"}
    await registry.modify(_KEY, lambda obj: obj | content, SELF)


def _endpoints(addresses: Sequence[str], port: int) -> Object:
    subset = {
        "addresses": [{"ip": address} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    metadata = {
        "name": _KEY.name,
        "namespace": _KEY.namespace,
        "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
    }
    return {"metadata": metadata, "subsets": [subset] if addresses else []}


def _slice(addresses: Sequence[str], port: int) -> Object:
    family = 6 if addresses and ipaddress.ip_address(addresses[0]).version == 6 else 4
    return {
        "metadata": {
            "name": _KEY.name,
            "namespace": _KEY.namespace,
            "labels": {"kubernetes.io/service-name": _KEY.name},
        },
        "addressType": f"IPv{family}",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }


def host_address() -> str:
    """The address with which this machine reaches others; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def advertised_address(config: ApiServerConfig) -> str:
    """The address for others: the one that was named, or is listened on, or leads out of this machine."""
    if config.advertise_address:
        return config.advertise_address
    bound = ipaddress.ip_address(config.bind_address)
    # Endpoints may not lie in the loopback range: there nobody else would find us.
    return host_address() if bound.is_unspecified or bound.is_loopback else config.bind_address
