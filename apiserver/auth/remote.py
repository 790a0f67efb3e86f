"""HTTP to those whom authentication asks: issuers of tokens, and the token webhook.

Invariant: an answer is bounded in time (TIMEOUT covers everything from the dial to the last byte) and in
size. No text of an error holds what was sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yarl import URL

from kplane.client.kubeconfig import Credentials
from kplane.runtime.late import late

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")

TIMEOUT = 30.0
MAX_BODY = 1024 * 1024
_CHUNK = 64 * 1024
_USER_AGENT = "kube-apiserver"


class RemoteError(Exception):
    """No answer. `transient`: the connection broke off, so that asking again may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


def json_headers(credentials: Credentials) -> Mapping[str, str]:
    """Of a request with a JSON body, as whom the credentials name. Raises RemoteError."""
    headers = {"Content-Type": "application/json"}
    token, file = credentials.token, credentials.token_file
    if file is not None:
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise RemoteError(f"cannot read the token file {file}: {type(error).__name__}") from error
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


class Remote:
    """Kept-alive connections under one TLS context. Create it anywhere, use it on one event loop."""

    def __init__(self, tls: ssl.SSLContext, *, server_name: str = "", follow: bool = False) -> None:
        """`server_name`: what the certificate must be for, where it is not the URL's host. `follow`: whether
        redirects are followed."""
        self._tls = tls
        self._server_name = server_name
        self._follow = follow
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> Answer:
        """Raises RemoteError."""
        return await self._request("GET", url, b"", {})

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises RemoteError."""
        return await self._request("POST", url, body, headers)

    async def _request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        said = f'{method.capitalize()} "{url}"'
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._exchange(method, url, body, headers)
        except TimeoutError as error:
            raise RemoteError(f"{said}: context deadline exceeded") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            broken = isinstance(error, (aiohttp.ServerDisconnectedError, ConnectionResetError))
            raise RemoteError(f"{said}: {_reason(error)}", transient=broken) from error

    async def _exchange(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._opened().request(
            method,
            URL(url, encoded=True),
            data=body or None,
            headers=headers,
            ssl=self._tls,
            server_hostname=self._server_name or None,
            allow_redirects=self._follow,
        ) as response:
            found = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                found += chunk
                if len(found) > MAX_BODY:
                    response.close()
                    raise ValueError(f"the response is larger than {MAX_BODY} bytes")
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, lower, bytes(found))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
                skip_auto_headers=("Accept-Encoding",),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


def trusting(authorities: str) -> ssl.SSLContext:
    """TLS of a client that trusts these certificates (PEM), or the system's if there are none. Raises
    ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go takes any certificate of the bundle for an anchor, be it an authority's or the server's own.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not authorities:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("data does not contain any valid RSA or ECDSA certificates") from error
    return context


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"tls: failed to verify certificate: {error.certificate_error}"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case aiohttp.ClientConnectorError():
            return f"dial tcp {error.host}:{error.port}: connect: {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientPayloadError():
            return "unexpected EOF"
        case aiohttp.ClientResponseError():
            return "malformed HTTP response"
    return str(error) or type(error).__name__
