"""Issuing tokens: from an account, what the token is bound to, and a wish, to the claims.

Source: pkg/registry/core/serviceaccount/storage `token.go`, pkg/serviceaccount `claims.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kplane.api.resource import Object

from ..identity import Audiences
from .names import username
from .settings import ServiceAccountSettings

WARN_AFTER = 60 * 60 + 7
"""Seconds that the ServiceAccount admission plug-in asks for. Clients that do not reload their token are not
cut off after that time; the token outlives it and tells when it became old."""

EXTENDED = 24 * 365 * 60 * 60


@dataclass(frozen=True)
class Wish:
    """What a TokenRequest asks for, after limits."""

    audiences: Audiences
    seconds: int


@dataclass(frozen=True)
class Lifetime:
    seconds: int
    warn_after: int = 0


def lifetime(wish: Wish, settings: ServiceAccountSettings, *, for_pod: bool) -> Lifetime:
    """How long the token lives, which may be longer than it is said to."""
    ours = set(wish.audiences) <= set(settings.audiences)
    if settings.extend_token_expiration and for_pod and wish.seconds == WARN_AFTER and ours:
        longest = int(settings.max_token_expiration) or EXTENDED
        return Lifetime(max(min(EXTENDED, longest), wish.seconds), wish.seconds)
    return Lifetime(wish.seconds)


def bound_claims(
    account: Object,
    bound: Mapping[str, Object],
    audiences: Sequence[str],
    life: Lifetime,
    *,
    issuer: str,
    now: datetime,
    token_id: str,
) -> Object:
    """`bound`: by kind in lower case (pod, secret, node) the objects that the token is bound to."""
    meta = account["metadata"]
    private: Object = {"namespace": meta["namespace"], "serviceaccount": _reference(account)}
    for kind, obj in bound.items():
        private[kind] = _reference(obj)
    if life.warn_after:
        private["warnafter"] = int((now + timedelta(seconds=life.warn_after)).timestamp())
    issued = int(now.timestamp())
    return {
        "aud": list(audiences),
        "exp": int((now + timedelta(seconds=life.seconds)).timestamp()),
        "iat": issued,
        "iss": issuer,
        "jti": token_id,
        "kubernetes.io": private,
        "nbf": issued,
        "sub": username(meta["namespace"], meta["name"]),
    }


def _reference(obj: Object) -> Object:
    meta = obj["metadata"]
    return {name: meta[name] for name in ("name", "uid") if meta.get(name)}
