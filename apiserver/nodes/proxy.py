"""`nodes/proxy`: the kubelet's own server by default, with our certificate; another port of the node else."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from kplane.api.errors import BadRequest

from ..proxying.locations import NOT_ALLOWED, is_proxyable, numeric, origin, split
from ..proxying.subresources import Origin
from .connection import NodeConnections


class NodeOrigins:
    """Finds the server behind `[scheme:]name[:port]` of a node."""

    def __init__(self, nodes: NodeConnections, unverified: ssl.SSLContext) -> None:
        self._nodes = nodes
        self._unverified = unverified

    async def __call__(self, namespace: str, text: str) -> Origin:
        """Raises NotFound, BadRequest, InternalError."""
        target = split("node", text)
        numeric("node", text, target.port)
        kubelet = (await self._nodes.locate(target.name)).url
        parts = urlsplit(kubelet)
        if target.port in ("", str(parts.port)):
            return Origin(kubelet, self._nodes.tls)
        host = parts.hostname or ""
        for address in await _resolved(host):
            if not is_proxyable(address):
                raise BadRequest(NOT_ALLOWED)
        return Origin(origin(target.scheme, host, target.port), self._unverified)


async def _resolved(host: str) -> list[str]:
    """Every address of a host; a name that nobody knows fails when it is dialled."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in found]
