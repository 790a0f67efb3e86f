"""Verdicts on tokens, kept for a while: for authenticators that ask others.

Source: apiserver `pkg/authentication/token/cache`. The token itself is not kept, only its hash.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from kplane.api.clock import Clock
from kplane.client.flights import Flights

from .identity import Audiences, Identity, Refused, TokenAuthenticator
from .metrics import TokenCacheMetrics

KEPT = 4096

_Key: TypeAlias = tuple[bytes, Audiences | None]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Without identity and fault the token is of a kind that the authenticator does not know."""

    identity: Identity | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    verdict: _Verdict
    until: float


class TokenCache:
    """Seconds that verdicts are kept: `success` for good tokens, `failure` for others. Faults (the other side
    is down, or refuses with a reason) are not kept. Those who ask at the same time share one verdict."""

    def __init__(
        self,
        inner: TokenAuthenticator,
        clock: Clock,
        metrics: TokenCacheMetrics,
        *,
        success: float,
        failure: float,
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._metrics = metrics
        self._success = success
        self._failure = failure
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._flights: Flights[_Key, _Verdict] = Flights()

    def __len__(self) -> int:
        """Verdicts that are kept."""
        return len(self._kept)

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        began = self._clock.monotonic()
        key = sha256(token.encode()).digest(), audiences
        kept = self._kept.get(key)
        hit = kept is not None and kept.until > began
        if kept is not None and hit:
            self._kept.move_to_end(key)
            verdict = kept.verdict
        else:
            verdict = await self._joined(key, token, audiences)
        self._metrics.looked(hit=hit, seconds=self._clock.monotonic() - began)
        if verdict.fault is not None:
            raise Refused(verdict.fault)
        return verdict.identity

    async def _joined(self, key: _Key, token: str, audiences: Audiences | None) -> _Verdict:
        with self._metrics.blocked.track_inprogress():
            return await self._flights.join(key, lambda: self._ask(key, token, audiences))

    async def _ask(self, key: _Key, token: str, audiences: Audiences | None) -> _Verdict:
        with self._metrics.in_flight.track_inprogress():
            try:
                verdict = _Verdict(await self._inner.authenticate_token(token, audiences))
            except Refused as error:
                verdict = _Verdict(fault=str(error))
        self._metrics.fetched(ok=verdict.fault is None)
        self._keep(key, verdict)
        return verdict

    def _keep(self, key: _Key, verdict: _Verdict) -> None:
        seconds = self._success if verdict.identity is not None else self._failure
        if verdict.fault is not None or seconds <= 0:
            self._kept.pop(key, None)
            return
        self._kept[key] = _Kept(verdict, self._clock.monotonic() + seconds)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
