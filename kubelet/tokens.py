"""Service account tokens for projected volumes: asked for once, kept, renewed at 80 % of their life."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec

from kplane.api.clock import Clock
from kplane.api.errors import ApiError
from kplane.api.resource import Object
from kplane.client.rest import Client

from .pod import Pod

log = logging.getLogger(__name__)

OLDEST = timedelta(hours=24)
RETRY = timedelta(seconds=10)
"""Until a renewal that failed is tried again."""


@dataclass(frozen=True)
class _Token:
    text: str = field(repr=False)
    renew_at: datetime
    expires: datetime


class TokenCache:
    """Tokens by pod and TokenRequest spec."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._kept: dict[tuple[str, bytes], _Token] = {}

    async def get(self, pod: Pod, spec: Object) -> str:
        """Raises ApiError."""
        place = (pod.metadata.uid, msgspec.json.encode(spec))
        kept = self._kept.get(place)
        if kept is None or kept.expires <= self._clock.now():
            kept = self._kept[place] = await self._request(pod, spec)
        elif kept.renew_at <= self._clock.now():
            kept = self._kept[place] = await self._renewed(pod, spec, kept)
        return kept.text

    async def _renewed(self, pod: Pod, spec: Object, old: _Token) -> _Token:
        """A new token, or the old one while it lasts."""
        try:
            return await self._request(pod, spec)
        except ApiError as error:
            log.warning("token not renewed pod=%s error=%s", pod.metadata.uid, error)
            return replace(old, renew_at=self._clock.now() + RETRY)

    def renewal(self, pod_uid: str) -> datetime | None:
        """When the pod's next token is due."""
        return min((token.renew_at for (uid, _), token in self._kept.items() if uid == pod_uid), default=None)

    def forget(self, pod_uid: str) -> None:
        for place in [place for place in self._kept if place[0] == pod_uid]:
            del self._kept[place]

    async def _request(self, pod: Pod, spec: Object) -> _Token:
        namespace, account = pod.metadata.namespace, pod.spec.service_account_name or "default"
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        asked = self._clock.now()
        answer = msgspec.json.decode(await self._client.raw("POST", path, body=body))
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        life = min((expires - asked) * 0.8, OLDEST)
        return _Token(answer["status"]["token"], asked + life, expires)
