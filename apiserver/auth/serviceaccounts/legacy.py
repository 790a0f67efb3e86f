"""Service account tokens out of Secrets (type kubernetes.io/service-account-token): they never expire, and
are good as long as the Secret holds them.

Source: pkg/serviceaccount `legacy.go`.
"""

from __future__ import annotations

import hmac

from kplane.api.resource import Object

from ..identity import Audiences, Identity, Refused, common
from .claims import Claims
from .names import LEGACY_ISSUER, account, split_username, username
from .objects import Bindable, Read, TokenSecret, read_bindable, read_secret
from .uses import LastUse, TokenMetrics
from .verifying import Verifier

INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
GENERATED = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated"
    " secret-based tokens."
)
TOKEN_KEY = "token"  # noqa: S105  (the key's name in the Secret)

_INVALIDATED = "Token has been invalidated"


class LegacyTokens:
    """`audiences`: the API server's own."""

    def __init__(
        self, verifier: Verifier, audiences: Audiences, read: Read, uses: LastUse, metrics: TokenMetrics
    ) -> None:
        self._verifier = verifier
        self._audiences = audiences
        self._read = read
        self._uses = uses
        self._metrics = metrics

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        claims = self._verifier.claims(token)
        if claims is None:
            return None
        said = claims.audiences or self._audiences
        meant = common(said, self._audiences if audiences is None else audiences)
        if not meant and self._audiences:
            raise Refused("token audiences are invalid for the target audiences")
        _check_claims(claims)
        secret = await self._secret(claims, token)
        holder = await self._account(claims)
        await self._uses.note(claims.legacy_namespace, claims.legacy_secret, secret)
        if (secret.metadata.labels or {}).get(INVALID_SINCE):
            self._metrics.invalid.inc()
            raise _marked(claims)
        generated = any(entry.name == claims.legacy_secret for entry in holder.secrets or ())
        self._metrics.legacy.inc()
        (self._metrics.auto if generated else self._metrics.manual).inc()
        user = account(claims.legacy_namespace, claims.legacy_name, claims.legacy_uid, {})
        return Identity(user, meant, (GENERATED,) if generated else ())

    async def _secret(self, claims: Claims, token: str) -> TokenSecret:
        secret = await read_secret(self._read, claims.legacy_namespace, claims.legacy_secret)
        if secret is None or secret.metadata.deletion_timestamp is not None:
            raise Refused(_INVALIDATED)
        if not hmac.compare_digest((secret.data or {}).get(TOKEN_KEY, b""), token.encode()):
            raise Refused("Token does not match server's copy")
        return secret

    async def _account(self, claims: Claims) -> Bindable:
        namespace, name = claims.legacy_namespace, claims.legacy_name
        found = await read_bindable(self._read, "serviceaccounts", namespace, name)
        if found is None:
            raise Refused(f'serviceaccounts "{name}" not found')
        if found.metadata.deletion_timestamp is not None:
            raise Refused(f"ServiceAccount {namespace}/{name} has been deleted")
        if found.metadata.uid != claims.legacy_uid:
            raise Refused(
                f"ServiceAccount UID ({found.metadata.uid}) does not match claim ({claims.legacy_uid})"
            )
        return found


def _marked(claims: Claims) -> Refused:
    place = f"{claims.legacy_namespace}/{claims.legacy_secret}"
    owner = f"{claims.legacy_namespace}/{claims.legacy_name}"
    return Refused(
        f"the token in secret {place} for service account {owner} has been marked invalid. Use tokens"
        " from the TokenRequest API or manually created secret-based tokens, or remove the"
        f" '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
    )


def legacy_claims(account: Object, secret: Object) -> Object:
    """What the token in a Secret says."""
    meta = account["metadata"]
    prefix = "kubernetes.io/serviceaccount"
    return {
        "iss": LEGACY_ISSUER,
        "sub": username(meta["namespace"], meta["name"]),
        f"{prefix}/namespace": meta["namespace"],
        f"{prefix}/secret.name": secret["metadata"]["name"],
        f"{prefix}/service-account.name": meta["name"],
        f"{prefix}/service-account.uid": meta["uid"],
    }


def _check_claims(claims: Claims) -> None:
    needed = {
        "sub": claims.sub,
        "namespace": claims.legacy_namespace,
        "secretName": claims.legacy_secret,
        "serviceAccountName": claims.legacy_name,
        "serviceAccountUID": claims.legacy_uid,
    }
    for name, value in needed.items():
        if not value:
            raise Refused(f"{name} claim is missing")
    if split_username(claims.sub) != (claims.legacy_namespace, claims.legacy_name):
        raise Refused("sub claim is invalid")
