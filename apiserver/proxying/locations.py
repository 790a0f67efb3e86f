"""From a proxy request's name, `[scheme:]name[:port]`, to the address behind it.

Reads: Pods, Services and Endpoints, from the watch caches. Nodes: `nodes/proxy.py`. Rules: upstream's
`ResourceLocation` of each kind.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from kplane.api import errors
from kplane.api.clock import Entropy
from kplane.api.errors import BadRequest, ServiceUnavailable
from kplane.api.resource import Object

ReadObject = Callable[[str, str, str], Awaitable[Object | None]]
"""(plural, namespace, name) -> the object, or None."""

NOT_ALLOWED = "address not allowed"


class Target(NamedTuple):
    """The three parts of a proxied name; scheme and port are empty where they were not given."""

    scheme: str
    name: str
    port: str


def split(kind: str, text: str) -> Target:
    """Raises BadRequest. `kind` is for the message: pod, service or node."""
    parts = text.split(":")
    if len(parts) == 3:
        target = Target(*parts)
    elif len(parts) < 3:
        target = Target("", parts[0], parts[1] if len(parts) == 2 else "")
    else:
        target = Target("", "", "")
    if not target.name or target.scheme not in ("", "http", "https"):
        raise _bad(kind, text)
    return target


def numeric(kind: str, text: str, port: str) -> None:
    """A port that goes into an address must be one. Raises BadRequest."""
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536):
        raise _bad(kind, text)


def origin(scheme: str, host: str, port: str) -> str:
    """`http://10.0.0.5:8080`"""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme or 'http'}://{shown}{f':{port}' if port else ''}"


def is_proxyable(address: str) -> bool:
    """Whether pods may have this address: never the loopback, a link-local, multicast or unspecified one."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified)


async def pod_origin(read: ReadObject, namespace: str, text: str) -> str:
    """Without a port, the first that a container declares. Raises NotFound, BadRequest."""
    target = split("pod", text)
    numeric("pod", text, target.port)
    pod = await read("pods", namespace, target.name)
    if pod is None:
        raise errors.not_found("pods", "", target.name)
    address = next(iter(_addresses(pod)), "")
    if not is_proxyable(address):
        raise BadRequest(NOT_ALLOWED)
    return origin(target.scheme, address, target.port or _first_port(pod))


class ServiceOrigins:
    """Chooses among the ready endpoints of a Service at random."""

    def __init__(self, read: ReadObject, entropy: Entropy) -> None:
        self._read = read
        self._entropy = entropy

    async def __call__(self, namespace: str, text: str) -> str:
        """Raises NotFound, BadRequest, ServiceUnavailable."""
        target = split("service", text)
        port_name = await self._port_name(namespace, target)
        endpoints = await self._read("endpoints", namespace, target.name)
        if endpoints is None:
            raise errors.not_found("endpoints", "", target.name)
        subsets = self._shuffled(endpoints.get("subsets") or [])
        if not subsets:
            raise ServiceUnavailable(f'no endpoints available for service "{target.name}"')
        for subset in subsets:
            async for found in self._in_subset(namespace, subset, port_name):
                return origin(target.scheme, *found)
        raise ServiceUnavailable(f'no endpoints available for service "{text}"')

    async def _port_name(self, namespace: str, target: Target) -> str:
        """The name of the Service's port, which may be given by its number."""
        if not target.port.isdecimal():
            return target.port
        service = await self._read("services", namespace, target.name)
        if service is None:
            raise errors.not_found("services", "", target.name)
        for port in service["spec"].get("ports") or ():
            if str(port["port"]) == target.port:
                return str(port.get("name") or "")
        raise ServiceUnavailable(f'no service port {target.port} found for service "{target.name}"')

    async def _in_subset(
        self, namespace: str, subset: Object, port_name: str
    ) -> AsyncIterator[tuple[str, str]]:
        for port in subset.get("ports") or ():
            if (port.get("name") or "") != port_name:
                continue
            for address in self._shuffled(subset.get("addresses") or []):
                if await self._is_pods(namespace, address):
                    yield address["ip"], str(port["port"])

    async def _is_pods(self, namespace: str, address: Object) -> bool:
        """Only a pod of the Service's own namespace that has this address: whoever may write Endpoints must
        not choose what else the server can reach."""
        ref = address.get("targetRef") or {}
        if ref.get("namespace") != namespace or not ref.get("name"):
            return False
        pod = await self._read("pods", namespace, ref["name"])
        return pod is not None and address["ip"] in _addresses(pod)

    def _shuffled(self, items: list[Any]) -> list[Any]:
        return sorted(items, key=lambda _: self._entropy.uniform(0, 1))


def _addresses(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    found = [entry.get("ip", "") for entry in status.get("podIPs") or ()]
    return found or [address for address in (status.get("podIP"),) if address]


def _first_port(pod: Object) -> str:
    for container in pod["spec"]["containers"]:
        for port in (container.get("ports") or ())[:1]:
            return str(port["containerPort"])
    return ""


def _bad(kind: str, text: str) -> BadRequest:
    return BadRequest(f'invalid {kind} request "{text}"')
