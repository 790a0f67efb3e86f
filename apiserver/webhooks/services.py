"""Where a webhook's Service is served: the address of one of its ready endpoints.

Reads: Services and EndpointSlices, from the watch caches. Not the cluster IP: the answer is right before a
proxy runs, and an endpoint that is gone is never tried.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from kplane.api.clock import Entropy
from kplane.api.resource import Object

from .errors import Unresolved

SERVICE_NAME_LABEL = "kubernetes.io/service-name"

ReadService = Callable[[str, str], Awaitable[Object | None]]
"""(namespace, name) -> the Service, or None."""

ReadSlices = Callable[[str, str], Awaitable[Sequence[Object]]]
"""(namespace, name of the Service) -> its EndpointSlices."""


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Resolver(Protocol):
    """From a Service's port to an address."""

    async def __call__(self, namespace: str, name: str, port: int) -> Address:
        """Raises Unresolved."""


class ServiceResolver:
    """Chooses among ready endpoints at random, as upstream does."""

    def __init__(self, service: ReadService, slices: ReadSlices, entropy: Entropy) -> None:
        self._service = service
        self._slices = slices
        self._entropy = entropy

    async def __call__(self, namespace: str, name: str, port: int) -> Address:
        service = await self._service(namespace, name)
        if service is None:
            raise Unresolved(f'service "{name}" not found')
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return Address(spec.get("externalName", ""), port)
        port_name = _port_name(spec, name, port)
        found = [
            address for entry in await self._slices(namespace, name) for address in _ready(entry, port_name)
        ]
        if not found:
            raise Unresolved(f'no endpoints available for service "{name}"')
        return self._entropy.choice(found)


def _port_name(spec: Object, name: str, port: int) -> str:
    for entry in spec.get("ports") or ():
        if entry.get("port") == port:
            return str(entry.get("name") or "")
    raise Unresolved(f'no service port {port} found for service "{name}"')


def _ready(entry: dict[str, Any], port_name: str) -> Iterator[Address]:
    if entry.get("addressType") == "FQDN":
        return
    ports = [port["port"] for port in entry.get("ports") or () if _is_port(port, port_name)]
    for endpoint in entry.get("endpoints") or ():
        # Absent means unknown, which is to be taken for ready.
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for host in (endpoint.get("addresses") or ())[:1]:
            for port in ports:
                yield Address(str(ipaddress.ip_address(host)), port)


def _is_port(port: Object, name: str) -> bool:
    return (port.get("name") or "") == name and bool(port.get("port"))
