"""What the HTTP stack reports about a backend, in the words of upstream's."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING

from kplane.runtime.late import late

if TYPE_CHECKING:
    import aiohttp
else:
    aiohttp = late("aiohttp")


def failures() -> tuple[type[Exception], ...]:
    """What a request can fail with before and while it is answered."""
    return aiohttp.ClientError, OSError, TimeoutError, ValueError


_VERIFY = "tls: failed to verify certificate: x509: "


def describe(error: BaseException, address: str, server_name: str = "") -> str:
    """`address` is host:port of the backend, `server_name` what its certificate must be valid for."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_fault(error.certificate_error, server_name or address.rpartition(":")[0])
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {address.rpartition(':')[0]}: no such host"
        case aiohttp.ClientConnectorSSLError():
            return _tls_fault(error.os_error)
        case ssl.SSLError():
            return _tls_fault(error)
        case aiohttp.ClientConnectorError():
            return f"dial tcp {address}: {_os_text(error.os_error)}"
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return f"dial tcp {address}: i/o timeout"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case aiohttp.ClientPayloadError():
            return "unexpected EOF"
        case aiohttp.ClientResponseError():
            return "net/http: HTTP/1.x transport connection broken: malformed HTTP response"
        case OSError():
            return _os_text(error)
    return str(error) or type(error).__name__


def _tls_fault(error: BaseException) -> str:
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
        return "http: server gave HTTP response to HTTPS client"
    found = re.search(r"\] ([^(]+)", str(error))
    return f"remote error: tls: {(found[1] if found else str(error)).strip()}"


def _certificate_fault(error: Exception, name: str) -> str:
    match getattr(error, "verify_code", 0):
        case 18 | 19 | 20 | 21:
            return f"{_VERIFY}certificate signed by unknown authority"
        case 62 | 64:
            return f"{_VERIFY}certificate is not valid for {name}"
        case 9 | 10:
            return f"{_VERIFY}certificate has expired or is not yet valid"
    return f"{_VERIFY}{getattr(error, 'verify_message', '') or error}"


def _os_text(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number is None or isinstance(error, socket.gaierror) or number not in errno.errorcode:
        return str(error)
    return f"connect: {os.strerror(number).lower()}"
