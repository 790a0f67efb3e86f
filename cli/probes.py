"""Is a process ready? Probes that the supervisor polls while a process starts."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0

Probe = Callable[[], Awaitable[bool]]


def http_ok(url: str, pki: Path | None = None) -> Probe:
    """Whether a GET of the URL answers 200. HTTPS verifies against the cluster's CA in `pki`.

    Written on bare streams: a probe runs dozens of times while a cluster starts, and the supervisor is spared
    the import of an HTTP client.
    """
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def probe() -> bool:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt")) if pki else None
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
                try:
                    writer.write(request)
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    return probe
