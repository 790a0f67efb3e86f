"""`pods/proxy`, `services/proxy` and `nodes/proxy`: any verb, with and without a path behind it."""

from __future__ import annotations

import posixpath
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import quote, unquote

from kplane.api.scheme import ResourceInfo

from ..http.call import Call, Receive, Scope, Send
from .forward import Order, ReverseProxy
from .headers import asks_for_upgrade

_SAFE = "/:@!$&'()*+,;=~-._"
"""What Go leaves as it is in a path."""


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of a backend, and how its certificate is judged."""

    url: str
    tls: ssl.SSLContext


FindOrigin: TypeAlias = Callable[[str, str], Awaitable[Origin]]
"""(namespace, `[scheme:]name[:port]`) -> where it is. Raises ApiError."""


class ProxySubresource:
    """The handler of one of the three."""

    def __init__(self, proxy: ReverseProxy, find: FindOrigin) -> None:
        self._proxy = proxy
        self._find = find

    async def __call__(
        self, call: Call, row: ResourceInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        origin = await self._find(call.info.namespace_of(row), call.info.name)
        prefix, path = split_path(call.info.path, 7 if call.info.namespace else 5)
        query = scope["query_string"].decode("latin-1")
        if not path and scope["method"] in ("GET", "HEAD") and not asks_for_upgrade(scope):
            # Relative addresses in a page must lead below the proxy's path.
            await _redirect(f"{quote(prefix, safe=_SAFE)}/{'?' + query if query else ''}", send)
            return
        url = f"{origin.url}{quote(path or '/', safe=_SAFE)}{'?' + query if query else ''}"
        await self._proxy.forward(Order(url, origin.tls, prefix=prefix), scope, receive, send)


def split_path(path: str, count: int) -> tuple[str, str]:
    """Take the first `count` parts off an escaped path. The rest comes decoded and without `.`, `..` and
    empty parts, as upstream asks the backend for it; empty if there was nothing, not even a slash."""
    found = re.match(rf"(?:/+[^/]+){{{count}}}", path)
    assert found is not None, path
    prefix, rest = unquote(found[0]), unquote(path[found.end() :])
    if not rest.strip("/"):
        return prefix, "/" if rest else ""
    cleaned = posixpath.normpath("/" + rest.lstrip("/"))
    return prefix, cleaned + ("/" if rest.endswith("/") and cleaned != "/" else "")


async def _redirect(location: str, send: Send) -> None:
    headers = [(b"location", location.encode("latin-1")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 301, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
