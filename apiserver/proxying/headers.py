"""Which headers travel through a proxy: hop-by-hop ones and credentials stay behind (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ..http.call import Scope

Header: TypeAlias = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    {
        b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

_IDENTITY = (b"x-remote-user", b"x-remote-uid", b"x-remote-group")
_IDENTITY_EXTRA = b"x-remote-extra-"
_CREDENTIALS = (b"authorization", *_IDENTITY)
_REPLACED = frozenset({b"host", b"expect", b"x-forwarded-for", b"x-forwarded-uri"})
"""Of these the proxy sends its own."""
_OURS = frozenset({b"date", b"audit-id"})
"""Every response of this server has these already."""


def end_to_end(headers: Iterable[Header]) -> list[Header]:
    """The headers without those that concern one connection only."""
    headers = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    return [(name, value) for name, value in headers if name not in HOP_BY_HOP and name not in named]


def is_credential(name: bytes) -> bool:
    """Whether this header says who asks; only this server may tell that to what is behind it."""
    return name in _CREDENTIALS or name.startswith((_IDENTITY_EXTRA, b"impersonate-"))


def request_headers(scope: Scope, *, upgrade: bool = False) -> list[Header]:
    """What goes on to the backend, with the client's address added; `Host` is not among it. An upgrade keeps
    what asks for it."""
    headers = [
        (name, value)
        for name, value in end_to_end(scope["headers"])
        if not is_credential(name) and name not in _REPLACED
    ]
    if upgrade:
        asked = b", ".join(_values(scope, b"upgrade"))
        headers += [(b"connection", b"Upgrade"), (b"upgrade", asked)]
    elif any(b"trailers" in value.lower() for value in _values(scope, b"te")):
        headers.append((b"te", b"trailers"))
    return [*headers, *_forwarded_for(scope)]


def response_headers(headers: Iterable[Header], status: int) -> list[Header]:
    """What goes back to the client."""
    dropped = _OURS | {b"content-length"} if status in (204, 304) else _OURS
    return [(name, value) for name, value in end_to_end(headers) if name not in dropped]


def value_of(headers: Iterable[Header], name: bytes) -> bytes:
    """The first value of a header with a lower-case name; empty if there is none."""
    return next((value for present, value in headers if present == name), b"")


def asks_for_upgrade(scope: Scope) -> bool:
    return any(b"upgrade" in value.lower() for value in _values(scope, b"connection"))


def has_body(scope: Scope) -> bool:
    length = value_of(scope["headers"], b"content-length")
    return bool(length.strip(b"0")) or bool(value_of(scope["headers"], b"transfer-encoding"))


def _values(scope: Scope, name: bytes) -> Iterator[bytes]:
    return (value for present, value in scope["headers"] if present == name)


def _forwarded_for(scope: Scope) -> Iterator[Header]:
    known = list(_values(scope, b"x-forwarded-for"))
    if scope.get("client"):
        known.append(scope["client"][0].encode())
    if known:
        yield b"x-forwarded-for", b", ".join(known)
