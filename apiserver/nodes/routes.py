"""The subresources that a kubelet answers: the visible table of their handlers."""

from __future__ import annotations

from collections.abc import Mapping

from ..http.resources import StreamHandler
from .connection import NodeConnections
from .logs import PodLogs
from .streams import PodStream


def stream_handlers(nodes: NodeConnections) -> Mapping[tuple[str, str, str], StreamHandler]:
    """Handlers by (group, plural, subresource)."""
    return {
        ("", "pods", "log"): PodLogs(nodes),
        ("", "pods", "exec"): PodStream(nodes, "exec"),
        ("", "pods", "attach"): PodStream(nodes, "attach"),
        ("", "pods", "portforward"): PodStream(nodes, "portForward"),
    }
