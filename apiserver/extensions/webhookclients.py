"""Faults of a webhook's `clientConfig`. Pure.

Rules and wording: apiserver `pkg/util/webhook/validation.go`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from urllib.parse import urlsplit

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..webhooks.client import tls_context
from ..webhooks.errors import BadClientConfig

_FORM = "; desired format: https://host[/path]"


def validate_client(config: Object, path: Path) -> Iterator[FieldError]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield path.required("exactly one of url or service is required")
    elif url is not None:
        yield from _validate_url(url, path.url)
    else:
        yield from _validate_service(service or {}, path.service)


def has_valid_bundle(config: Object) -> bool:
    """Whether its caBundle, if there is one, holds certificates."""
    bundle = config.get("caBundle")
    if not bundle:
        return True
    try:
        base64.b64decode(bundle, validate=True)
        tls_context(bundle)
    except (BadClientConfig, binascii.Error, ValueError):
        return False
    return True


def _validate_url(url: str, path: Path) -> Iterator[FieldError]:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield path.required(f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield path.invalid(parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    host = parts.netloc.rpartition("@")[2]
    if not host:
        yield path.invalid(host, f"host must be specified{_FORM}")
    if "@" in parts.netloc:
        yield path.invalid(parts.username or "", "user information is not permitted in the URL")
    if parts.fragment:
        yield path.invalid(parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield path.invalid(parts.query, "query parameters are not permitted in the URL")


def _validate_service(service: Object, path: Path) -> Iterator[FieldError]:
    for key in ("name", "namespace"):
        if not service.get(key):
            yield path.child(key).required(f"service {key} is required")
    port = service.get("port", 443)
    if faults := names.port_number(port):
        yield path.port.invalid(port, f"port is not valid: {','.join(faults)}")
    text = service.get("path") or ""
    if text in ("", "/"):
        return
    if text == "//":
        yield path.path.invalid(text, "segment[0] may not be empty")
        return
    if not text.startswith("/"):
        yield path.path.invalid(text, "must start with a '/'")
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            yield path.path.invalid(text, f"segment[{index}] may not be empty")
            continue
        yield from (
            path.path.invalid(text, f"segment[{index}]: {fault}") for fault in names.dns_subdomain(step)
        )
