"""How this server reaches aggregated ones: TLS for each APIService, and small requests of its own.

Owns the proxy client certificate, the TLS contexts made from it, and one pool of connections. Elsewhere: the
requests of clients (`proxy.py`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from yarl import URL

from kplane.runtime.clienttls import FollowingTls
from kplane.runtime.late import late
from kplane.runtime.process import Fatal

from ..proxying.faults import describe
from ..proxying.tls import unverified
from ..webhooks.client import tls_context
from ..webhooks.services import Address, Resolver
from .identity import AGGREGATOR, identity_headers
from .remotes import Remote

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")

KEPT_CONTEXTS = 200
_CHUNK = 64 * 1024


class Unanswered(Exception):
    """An aggregated server gave no (usable) answer; the message says why, in upstream's words."""


class Answer(NamedTuple):
    status: int
    content_type: str
    etag: str
    body: bytes


@dataclass(frozen=True)
class ClientCertificate:
    """`--proxy-client-cert-file` and `--proxy-client-key-file`."""

    certificate: Path
    key: Path


class Connections:
    """Create it anywhere, use it on one event loop."""

    def __init__(self, resolve: Resolver, certificate: ClientCertificate | None) -> None:
        self._resolve = resolve
        self._certificate = certificate
        self._contexts: OrderedDict[tuple[str, bool], ssl.SSLContext] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None
        files = (certificate.certificate, certificate.key) if certificate is not None else ()
        self._unverified = FollowingTls(lambda: self._with_certificate(unverified()), files)
        self._made_beside = self._unverified.context

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def unverified(self) -> ssl.SSLContext:
        """For the next connection to a server that need not prove itself."""
        return self._unverified.context

    async def address(self, remote: Remote) -> Address:
        """Raises Unresolved."""
        return await self._resolve(remote.namespace, remote.service, remote.port)

    def tls(self, remote: Remote) -> ssl.SSLContext:
        """Raises BadClientConfig for a caBundle without a certificate."""
        current = self.unverified
        if remote.insecure:
            return current
        if current is not self._made_beside:
            # The certificate was renewed: the others have the former one.
            self._made_beside = current
            self._contexts.clear()
        key = remote.bundle, remote.insecure
        known = self._contexts.get(key)
        if known is None:
            known = self._contexts[key] = self._with_certificate(tls_context(remote.bundle))
            if len(self._contexts) > KEPT_CONTEXTS:
                self._contexts.popitem(last=False)
        return known

    async def get(
        self,
        url: str,
        tls: ssl.SSLContext,
        *,
        server_name: str = "",
        accept: str = "application/json",
        etag: str = "",
        timeout: float,
        limit: int,
    ) -> Answer:
        """At most `limit` bytes within `timeout` seconds, asked for by the aggregator. Raises Unanswered."""
        headers = [(name.decode(), value.decode()) for name, value in identity_headers(AGGREGATOR)]
        headers += [("Accept", accept), *([("If-None-Match", etag)] if etag else [])]
        try:
            async with (
                asyncio.timeout(timeout),
                self._opened().get(
                    URL(url, encoded=True),
                    headers=headers,
                    ssl=tls,
                    server_hostname=server_name or None,
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read(response, limit)
                kind, tag = response.headers.get("content-type", ""), response.headers.get("etag", "")
                return Answer(response.status, kind, tag, body)
        except TimeoutError as error:
            raise Unanswered(f'Get "{url}": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            fault = describe(error, URL(url).authority, server_name)
            raise Unanswered(f'Get "{url}": {fault}') from error

    def _with_certificate(self, context: ssl.SSLContext) -> ssl.SSLContext:
        if self._certificate is not None:
            try:
                context.load_cert_chain(self._certificate.certificate, self._certificate.key)
            except (OSError, ssl.SSLError) as error:
                raise Fatal(f"cannot load the proxy client certificate: {error}") from error
        return context

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            response.close()
            raise ValueError(f"the response is larger than {limit} bytes")
    return bytes(body)
