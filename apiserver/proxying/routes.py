"""The proxies to what runs in pods: the visible table of their handlers."""

from __future__ import annotations

from collections.abc import Mapping

from kplane.api.clock import Entropy

from ..http.resources import StreamHandler
from .forward import ReverseProxy
from .locations import ReadObject, ServiceOrigins, pod_origin
from .subresources import Origin, ProxySubresource
from .tls import unverified


def proxy_handlers(
    proxy: ReverseProxy, read: ReadObject, entropy: Entropy
) -> Mapping[tuple[str, str, str], StreamHandler]:
    """Handlers by (group, plural, subresource)."""
    services, tls = ServiceOrigins(read, entropy), unverified()

    async def pod(namespace: str, name: str) -> Origin:
        return Origin(await pod_origin(read, namespace, name), tls)

    async def service(namespace: str, name: str) -> Origin:
        return Origin(await services(namespace, name), tls)

    return {
        ("", "pods", "proxy"): ProxySubresource(proxy, pod),
        ("", "services", "proxy"): ProxySubresource(proxy, service),
    }
