"""Who asks, told to an aggregated server in headers that it believes because of our client certificate.

Rules: client-go `transport.SetAuthProxyHeaders`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator

from ..auth.user import MASTERS_GROUP, User
from ..proxying.headers import Header

_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$&'*+-.^_`|~")

AGGREGATOR = User("system:kube-aggregator", groups=(MASTERS_GROUP,))
"""As whom this server asks on its own account."""


def identity_headers(user: User) -> tuple[Header, ...]:
    """The headers for a user."""
    return tuple((name, value.encode("utf-8")) for name, value in _pairs(user))


def _pairs(user: User) -> Iterator[tuple[bytes, str]]:
    yield b"x-remote-user", user.name
    if user.uid:
        yield b"x-remote-uid", user.uid
    for group in user.groups:
        yield b"x-remote-group", group
    for key, values in user.extra.items():
        for value in values:
            yield b"x-remote-extra-" + _escaped(key).encode(), value


def _escaped(key: str) -> str:
    """A key as part of a header's name: what may not stand there is percent-encoded."""
    return "".join(
        char if char in _TOKEN else "".join(f"%{byte:02X}" for byte in char.encode()) for char in key.lower()
    )
