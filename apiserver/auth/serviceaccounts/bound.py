"""Bound service account tokens: signed by us, in their time, meant for us, and nothing they are bound to has
gone or been replaced.

Source: pkg/serviceaccount `jwt.go` and `claims.go`. Unlike there, no verdict is kept: what a token is bound
to is looked up in the caches every time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kplane.api.clock import Clock

from ..identity import Audiences, Identity, Notes, Refused, common
from ..user import CREDENTIAL_ID
from .claims import Bound, Claims, Reference
from .names import account
from .objects import Bindable, Read, read_bindable
from .uses import TokenMetrics
from .verifying import Verifier

LEEWAY = timedelta(minutes=1)
"""How far clocks may be apart, and how long a token outlives the deletion of what it is bound to."""

INVALIDATED = "service account token has been invalidated"


class BoundTokens:
    """`audiences`: the API server's own."""

    def __init__(
        self, verifier: Verifier, audiences: Audiences, read: Read, clock: Clock, metrics: TokenMetrics
    ) -> None:
        self._verifier = verifier
        self._audiences = audiences
        self._read = read
        self._clock = clock
        self._metrics = metrics

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        claims = self._verifier.claims(token)
        if claims is None:
            return None
        meant = self._check_audiences(claims, self._audiences if audiences is None else audiences)
        if claims.bound is None:
            raise Refused(
                "service account token claims could not be validated due to unexpected private claim"
            )
        self._check_time(claims)
        await self._check_objects(claims.bound)
        self._count(claims.bound)
        reference = claims.bound.serviceaccount
        user = account(claims.bound.namespace, reference.name, reference.uid, _extra(claims, claims.bound))
        return Identity(user, meant, notes=self._notes(claims, claims.bound))

    def _notes(self, claims: Claims, bound: Bound) -> Notes:
        """That a token should have been replaced long ago."""
        if bound.warnafter is None:
            return ()
        seconds = int(self._clock.now().timestamp()) - int(bound.warnafter)
        if seconds <= 0:
            return ()
        told = f"subject: {claims.sub}, seconds after warning threshold: {seconds}"
        return (("authentication.k8s.io/stale-token", told),)

    def _count(self, bound: Bound) -> None:
        """Only of tokens that say from when on they are stale."""
        if bound.warnafter:
            stale = self._clock.now().timestamp() > bound.warnafter
            (self._metrics.stale if stale else self._metrics.valid).inc()

    def _check_audiences(self, claims: Claims, asked: Audiences) -> Audiences:
        # A token that names nobody is meant for the API server.
        said = claims.audiences or self._audiences
        meant = common(said, asked)
        if not meant and self._audiences:
            raise Refused(
                f"token audiences {_listed(said)} is invalid for the target audiences {_listed(asked)}"
            )
        return meant

    def _check_time(self, claims: Claims) -> None:
        now = self._clock.now().timestamp()
        leeway = LEEWAY.total_seconds()
        if claims.exp is not None and now - leeway > claims.exp:
            raise Refused("service account token has expired")
        if claims.nbf is not None and now + leeway < claims.nbf:
            raise Refused("service account token is not valid yet")
        if claims.iat is not None and now + leeway < claims.iat:
            raise Refused("service account token is issued in the future")

    async def _check_objects(self, bound: Bound) -> None:
        account = await self._find("serviceaccounts", bound.namespace, bound.serviceaccount)
        if account is None:
            raise Refused(f'serviceaccounts "{bound.serviceaccount.name}" not found')
        if account.metadata.uid != bound.serviceaccount.uid:
            told = f"({account.metadata.uid}) does not match claim ({bound.serviceaccount.uid})"
            raise Refused(f"service account UID {told}")
        if self._is_gone(account):
            raise Refused(f"service account {bound.namespace}/{bound.serviceaccount.name} has been deleted")
        if bound.secret is not None:
            await self._check_bound("secret", bound.namespace, bound.secret)
        if bound.pod is not None:
            await self._check_bound("pod", bound.namespace, bound.pod)
        elif bound.node is not None:
            # Of a Pod's token the node is only said, not checked.
            await self._check_bound("node", "", bound.node)

    async def _check_bound(self, kind: str, namespace: str, reference: Reference) -> None:
        found = await self._find(f"{kind}s", namespace, reference)
        if found is None:
            raise Refused(INVALIDATED)
        if found.metadata.uid != reference.uid:
            told = f"({found.metadata.uid}) does not match service account {kind} ref claim ({reference.uid})"
            raise Refused(f"{kind} UID {told}")
        if self._is_gone(found):
            raise Refused(INVALIDATED)

    async def _find(self, plural: str, namespace: str, reference: Reference) -> Bindable | None:
        return await read_bindable(self._read, plural, namespace, reference.name)

    def _is_gone(self, found: Bindable) -> bool:
        deleted: datetime | None = found.metadata.deletion_timestamp
        return deleted is not None and deleted.astimezone(UTC) < self._clock.now() - LEEWAY


def _listed(audiences: Audiences) -> str:
    return "[" + " ".join(f'"{name}"' for name in audiences) + "]"


def _extra(claims: Claims, bound: Bound) -> dict[str, tuple[str, ...]]:
    prefix = "authentication.kubernetes.io"
    extra: dict[str, tuple[str, ...]] = {}
    if claims.jti:
        extra[CREDENTIAL_ID] = (f"JTI={claims.jti}",)
    for kind, reference in (("pod", bound.pod), ("node", bound.node)):
        if reference is not None:
            extra[f"{prefix}/{kind}-name"] = (reference.name,)
            if reference.uid:
                extra[f"{prefix}/{kind}-uid"] = (reference.uid,)
    return extra
