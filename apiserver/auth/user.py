"""Who a request comes from, and the names that have a meaning to the API server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANONYMOUS_NAME = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
MASTERS_GROUP = "system:masters"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
"""Extra: which credential proved the identity."""


@dataclass(frozen=True, slots=True)
class User:
    """An authenticated (or anonymous) identity."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = User(ANONYMOUS_NAME, groups=(UNAUTHENTICATED_GROUP,))


def authenticated(
    name: str,
    uid: str = "",
    groups: tuple[str, ...] = (),
    extra: Mapping[str, tuple[str, ...]] | None = None,
) -> User:
    """A user whose identity was proved: a member of `system:authenticated` besides their own groups."""
    if AUTHENTICATED_GROUP not in groups:
        groups = (*groups, AUTHENTICATED_GROUP)
    return User(name, uid, groups, extra or {})
