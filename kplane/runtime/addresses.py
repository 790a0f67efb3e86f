"""This machine's own addresses, as others see them. Nothing is sent: the kernel only chooses a route."""

from __future__ import annotations

import socket


def towards(host: str) -> str:
    """The address of the interface that leads to `host`. Raises OSError."""
    family, kind, _, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])
