"""The client's side of an HTTP upgrade: ask a server to leave HTTP, and get the raw connection.

Used by the API server towards kubelets and by the kubelet towards the container runtime.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from kplane.client.streams.duplex import SocketDuplex

MAX_HEAD = 64 * 1024
CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Upgraded:
    """A server's answer. With status 101 the connection carries the new protocol; with any other, `duplex`
    yields the body as it is on the wire (see `headers` for its framing)."""

    status: int
    head: bytes
    headers: dict[str, str]
    duplex: SocketDuplex


async def open_upgrade(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Upgraded:
    """Send a request and read the head of its answer. A `Host` among the headers and a `server_name` for the
    certificate take the place of the URL's. Raises ConnectionError, also on a time-out."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    sent = list(headers)
    if all(name.lower() != "host" for name, _ in sent):
        sent.insert(0, ("Host", parts.netloc))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent)]
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                port,
                ssl=tls if secure else None,
                server_hostname=server_name or None if secure else None,
                limit=MAX_HEAD,
            )
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"dial tcp {parts.netloc}: {str(error) or 'i/o timeout'}") from error
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
        writer.close()
        raise ConnectionError(f"{parts.netloc} did not answer an upgrade request") from error
    except BaseException:
        writer.close()
        raise
    status_line, *fields = head.decode("latin-1").split("\r\n")
    status = status_line.split(" ")[1:2]
    if not status_line.startswith("HTTP/1.") or not (status and status[0].isdecimal()):
        writer.close()
        raise ConnectionError(f"{parts.netloc} gave a malformed HTTP response")
    pairs = (field.split(":", 1) for field in fields if ":" in field)
    answered = {name.strip().lower(): value.strip() for name, value in pairs}
    return Upgraded(int(status[0]), head, answered, SocketDuplex(reader, writer))
