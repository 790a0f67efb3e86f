"""What authenticators share: the credentials of a request, and what proving one yields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from .user import User

Audiences: TypeAlias = tuple[str, ...]


Notes: TypeAlias = tuple[tuple[str, str], ...]
"""Annotations of the audit event: keys and values, never a credential."""


class Refused(Exception):
    """A credential is of this authenticator's kind but not good. The text never holds the credential."""

    def __init__(self, message: str = "", notes: Notes = ()) -> None:
        super().__init__(message)
        self.notes = notes


def _unheard(text: str) -> None:
    """Where nobody listens to warnings."""


def _unnoted(key: str, value: str) -> None:
    """Where nobody keeps an audit log."""


class Credentials(msgspec.Struct, frozen=True):
    """`certificate`: the client's (DER), whose possession TLS has proved. `headers`: lower-case names, in
    order, with repetitions. `path`: of the request's URL. `warn`: tells the client something. `note`: tells
    the audit log something."""

    certificate: bytes | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    path: str = ""
    warn: Callable[[str], None] = _unheard
    note: Callable[[str, str], None] = _unnoted

    def __repr__(self) -> str:
        # The rest is nobody's business.
        return f"Credentials(path={self.path!r})"

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Identity:
    """A proven user, and for which of the asked audiences; `audiences` is empty where nobody asks. `warnings`
    are for whoever presents the credential, `notes` for the audit log."""

    user: User
    audiences: Audiences = ()
    warnings: tuple[str, ...] = ()
    notes: Notes = ()


class RequestAuthenticator(Protocol):
    """Reads credentials from a request. None: it holds none of this kind. Raises Refused."""

    async def authenticate(self, credentials: Credentials) -> User | None: ...


class TokenAuthenticator(Protocol):
    """Reads a bearer token. `audiences`: who must be meant by it; None for the API server itself. None: not a
    token of this kind. Raises Refused."""

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None: ...


def common(first: Audiences, second: Audiences) -> Audiences:
    """Audiences in both, in the order of the first."""
    return tuple(name for name in first if name in second)
