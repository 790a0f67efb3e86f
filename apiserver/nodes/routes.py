"""The subresources that a kubelet answers: the visible table of their handlers."""

from __future__ import annotations

from collections.abc import Mapping

from ..http.resources import StreamHandler
from ..proxying.forward import ReverseProxy
from ..proxying.subresources import ProxySubresource
from ..proxying.tls import unverified
from .connection import NodeConnections
from .logs import PodLogs
from .proxy import NodeOrigins
from .streams import PodStream


def stream_handlers(
    nodes: NodeConnections, proxy: ReverseProxy
) -> Mapping[tuple[str, str, str], StreamHandler]:
    """Handlers by (group, plural, subresource)."""
    return {
        ("", "nodes", "proxy"): ProxySubresource(proxy, NodeOrigins(nodes, unverified())),
        ("", "pods", "log"): PodLogs(nodes),
        ("", "pods", "exec"): PodStream(nodes, "exec"),
        ("", "pods", "attach"): PodStream(nodes, "attach"),
        ("", "pods", "portforward"): PodStream(nodes, "portForward"),
    }
