"""The HTTPS client for webhooks: `call` posts a review and returns the object that comes back.

    answer = await client.call(webhook["clientConfig"], review, timeout=10)

Owns the kept-alive connections, one pool for all webhooks, and the TLS contexts, one for each caBundle.
A Service's name is never looked up in DNS: `services.py` resolves it, and the certificate must be valid for
`<service>.<namespace>.svc`.

Invariant: an answer is bounded in time (`timeout` covers everything from the dial to the last byte) and in
size. Redirects are not followed: a webhook's author must not choose what else the server asks
(CVE-2020-8561).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import math
import os
import re
import socket
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from yarl import URL

from kplane.api.decode import DecodeError, decode_json
from kplane.api.resource import Object
from kplane.runtime.late import late

from .errors import (
    BadAnswer,
    BadClientConfig,
    Broken,
    CallError,
    CallTimeout,
    DialError,
    TlsError,
    bad_status,
)
from .services import Address, Resolver

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes: a conversion may return thousands of objects."""
KEPT_CONTEXTS = 200
KEEPALIVE = 90.0
"""Seconds that an idle connection is kept."""
USER_AGENT = "kube-apiserver-admission"

_CHUNK = 64 * 1024
_UNTRUSTED = frozenset({18, 19, 20, 21})
"""OpenSSL's verify codes for a chain that ends in no known authority."""
_EXPIRED = frozenset({9, 10})
_MISMATCH = frozenset({62, 64})


class Target(NamedTuple):
    """Where a clientConfig points. `shown` is the URL for messages, `url` where the connection goes."""

    url: URL
    shown: str
    host: str
    """The Host header, empty for that of the URL."""
    server_name: str
    """The name that the certificate must have, empty for the URL's host."""
    dialled: str
    """The address for messages, where it is known."""


class WebhookClient:
    """Create it anywhere, use it on one event loop."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._session: aiohttp.ClientSession | None = None
        self._contexts: OrderedDict[str, ssl.SSLContext] = OrderedDict()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self, config: Object, body: Mapping[str, Any], timeout: float, *, limit: int = MAX_ANSWER
    ) -> Object:
        """POST `body` to the server of a `clientConfig`; its answer, at most `limit` bytes of JSON, within
        `timeout` seconds. Raises CallError, of which there is a class for each way to fail."""
        context = self._context(config.get("caBundle") or "")
        shown = shown_url(config, timeout)
        data = msgspec.json.encode(body)
        try:
            async with asyncio.timeout(timeout):
                target = await self._target(config, shown, timeout)
                return await self._post(target, context, data, limit)
        except TimeoutError as error:
            raise CallTimeout(f'Post "{shown}": context deadline exceeded') from error

    async def _target(self, config: Object, shown: str, timeout: float) -> Target:
        service = config.get("service")
        if not service:
            parts = urlsplit(shown)
            port = parts.port or 443
            return Target(URL(shown, encoded=True), shown, "", "", str(Address(parts.hostname or "", port)))
        namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
        try:
            address = await self._resolve(namespace, name, port)
        except CallError as error:
            raise type(error)(f'Post "{shown}": {error}') from error
        server = f"{name}.{namespace}.svc"
        url = f"https://{address}{_service_path(service)}?timeout={_duration(timeout)}"
        return Target(URL(url, encoded=True), shown, f"{server}:{port}", server, str(address))

    async def _post(self, target: Target, context: ssl.SSLContext, data: bytes, limit: int) -> Object:
        reused: list[bool] = []
        try:
            try:
                return await self._exchange(target, context, data, limit, reused)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                # The server closed a kept connection while the request was on its way: it was not read.
                if not reused:
                    raise
                return await self._exchange(target, context, data, limit, reused)
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(target, error) from error

    async def _exchange(
        self, target: Target, context: ssl.SSLContext, data: bytes, limit: int, reused: list[bool]
    ) -> Object:
        headers = {"Accept": "application/json, */*", "Content-Type": "application/json"}
        if target.host:
            headers["Host"] = target.host
        async with self._opened().request(
            "POST",
            target.url,
            data=data,
            headers=headers,
            ssl=context,
            server_hostname=target.server_name or None,
            allow_redirects=False,
            trace_request_ctx=reused,
        ) as response:
            body = await _read(response, limit, target.shown)
            if not 200 <= response.status <= 206:
                raise bad_status(response.status, response.headers.get("Content-Type", ""), body)
            return _decode(response, body)

    def _opened(self) -> aiohttp.ClientSession:
        """Made on first use: it belongs to the event loop that serves."""
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                skip_auto_headers=("Accept-Encoding",),
                auto_decompress=False,
                trust_env=False,
                trace_configs=[trace],
            )
        return self._session

    def _context(self, bundle: str) -> ssl.SSLContext:
        """TLS settings that trust this caBundle (base64 of PEM), or the system's authorities if empty."""
        known = self._contexts.get(bundle)
        if known is None:
            known = self._contexts[bundle] = tls_context(bundle)
            if len(self._contexts) > KEPT_CONTEXTS:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(bundle)
        return known


def tls_context(bundle: str) -> ssl.SSLContext:
    """Raises BadClientConfig for a bundle without a readable certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Go takes any certificate of the bundle for an anchor, be it an authority's or the server's own.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not bundle:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, ValueError, binascii.Error) as error:
        raise BadClientConfig(
            "unable to load root certificates: unable to parse bytes as PEM block"
        ) from error
    return context


def shown_url(config: Object, timeout: float) -> str:
    """The URL that is called, as messages name it. Raises BadClientConfig."""
    query = f"?timeout={_duration(timeout)}"
    if service := config.get("service"):
        server = f"{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}"
        return f"https://{server}{_service_path(service)}{query}"
    url = config.get("url") or ""
    if not url:
        raise BadClientConfig("webhook configuration must have either service or URL")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadClientConfig(f"Unparsable URL: {error}") from error
    return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}{query}"


def _service_path(service: Object) -> str:
    path: str = service.get("path") or "/"
    return path if path.startswith("/") else f"/{path}"


def _duration(seconds: float) -> str:
    """Whole seconds, rounded up, as Go prints a duration: `10s`, `1m0s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


async def _note_reuse(session: Any, context: Any, params: Any) -> None:
    context.trace_request_ctx.append(True)


async def _read(response: aiohttp.ClientResponse, limit: int, shown: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            response.close()
            raise BadAnswer(f'Post "{shown}": the response is larger than {limit} bytes')
    return bytes(body)


def _decode(response: aiohttp.ClientResponse, body: bytes) -> Object:
    if not body:
        kind = response.headers.get("Content-Type", "")
        raise BadAnswer(f"0-length response with status code: {response.status} and content type: {kind}")
    try:
        return decode_json(body)
    except DecodeError as error:
        raise BadAnswer(str(error)) from error


def _failure(target: Target, error: aiohttp.ClientError | OSError) -> CallError:
    """The typed error for what the HTTP stack reports."""
    kind, text = _reason(target, error)
    return kind(f'Post "{target.shown}": {text}')


def _reason(target: Target, error: aiohttp.ClientError | OSError) -> tuple[type[CallError], str]:
    name = target.server_name or target.url.host or ""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return TlsError, _certificate_fault(error.certificate_error, name)
        case aiohttp.ClientConnectorDNSError():
            return DialError, f"dial tcp: lookup {name}: no such host"
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return TlsError, f"remote error: tls: {_ssl_text(error)}"
        case aiohttp.ClientConnectorError():
            return DialError, f"dial tcp {target.dialled}: connect: {_os_text(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return Broken, "EOF"
        case aiohttp.ClientPayloadError():
            return Broken, "unexpected EOF"
        case aiohttp.ClientResponseError():
            return Broken, "net/http: HTTP/1.x transport connection broken: malformed HTTP response"
        case OSError():
            return Broken, _os_text(error)
    return Broken, str(error) or type(error).__name__


def _certificate_fault(error: Exception, name: str) -> str:
    prefix = "tls: failed to verify certificate: x509: "
    code = getattr(error, "verify_code", 0)
    if code in _UNTRUSTED:
        return f"{prefix}certificate signed by unknown authority"
    if code in _MISMATCH:
        return f"{prefix}certificate is not valid for {name}"
    if code in _EXPIRED:
        return f"{prefix}certificate has expired or is not yet valid"
    return f"{prefix}{getattr(error, 'verify_message', '') or error}"


def _ssl_text(error: Exception) -> str:
    text = str(getattr(error, "os_error", error))
    match = re.search(r"\] ([^(]+)", text)
    return (match[1] if match else text).strip()


def _os_text(error: OSError) -> str:
    number = error.errno
    if isinstance(error, aiohttp.ClientOSError) and not number:
        # The request could not be written to its end.
        return "write: broken pipe"
    if isinstance(error, socket.gaierror) or not number:
        return str(error)
    return os.strerror(number).lower() if number in errno.errorcode else str(error)
