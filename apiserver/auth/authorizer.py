"""Authorisation: may this user do this?

An Authorizer answers from the User and the RequestInfo alone. Until role-based access control exists every
authenticated user may do everything, and an anonymous one may read what upstream's
`system:public-info-viewer` role shows.
"""

from __future__ import annotations

from typing import Protocol

from ..http.requestinfo import RequestInfo
from .user import AUTHENTICATED_GROUP, User

_PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_PUBLIC_UNDER = ("/healthz/", "/livez/", "/readyz/")


class Authorizer(Protocol):
    """The decision on one request."""

    def allows(self, user: User, info: RequestInfo) -> bool: ...


class AlwaysAllow:
    """Everything to the authenticated, health and version to everyone."""

    def allows(self, user: User, info: RequestInfo) -> bool:
        if AUTHENTICATED_GROUP in user.groups:
            return True
        return info.method in ("GET", "HEAD") and is_public(info.path)


def is_public(path: str) -> bool:
    """Whether upstream shows this path to unauthenticated clients."""
    return path in _PUBLIC or path.startswith(_PUBLIC_UNDER)
