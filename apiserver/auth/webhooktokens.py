"""Bearer tokens that a webhook knows: a TokenReview is posted to the server of a kubeconfig.

Source: apiserver `plugin/pkg/authenticator/token/webhook`, `pkg/util/webhook`. No error holds the token, not
even one that the webhook sends back.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from kplane.api.clock import Clock, Entropy
from kplane.client.kubeconfig import ConfigError, Credentials, load
from kplane.client.tls import tls_context
from kplane.runtime.process import Fatal

from .identity import Audiences, Identity, Refused, common
from .remote import TIMEOUT, Answer, Remote, RemoteError, json_headers, trusting
from .user import authenticated

ATTEMPTS = 5
BACKOFF, FACTOR, JITTER = 0.5, 1.5, 0.2
"""Seconds before the second attempt, how much longer each pause is, and which part is added at most."""

_RETRIED = frozenset({429, 500, 504})
_MASK = "<token>"

log = logging.getLogger(__name__)


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...]] | None = None


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] | None = None
    error: str = ""


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status = _Status()


_reviews = msgspec.json.Decoder(_Review)


class WebhookTokens:
    """`own`: the API server's audiences, which a webhook means that names none."""

    def __init__(
        self, credentials: Credentials, version: str, own: Audiences, clock: Clock, entropy: Entropy
    ) -> None:
        """Raises ConfigError for certificates that cannot be used."""
        tls = tls_context(credentials) if credentials.server.startswith("https:") else trusting("")
        self._remote = Remote(tls, server_name=credentials.tls_server_name)
        self._credentials = credentials
        self._url = f"{credentials.server}?timeout={TIMEOUT:.0f}s"
        self._api_version = f"authentication.k8s.io/{version}"
        self._own = own
        self._clock = clock
        self._entropy = entropy

    @classmethod
    def load(cls, path: Path, version: str, own: Audiences, clock: Clock, entropy: Entropy) -> WebhookTokens:
        """Raises Fatal."""
        try:
            return cls(load(path), version, own, clock, entropy)
        except ConfigError as error:
            raise Fatal(f"--authentication-token-webhook-config-file: {error}") from error

    async def close(self) -> None:
        await self._remote.close()

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        try:
            status = await self._ask(token, audiences)
        except RemoteError as error:
            log.error("token webhook failed error=%s", _masked(str(error), token))
            raise Refused(_masked(str(error), token)) from error
        meant: Audiences = ()
        if audiences is not None:
            meant = common(audiences, status.audiences or self._own)
            if not meant:
                return None
        if not status.authenticated:
            if status.error:
                raise Refused(_masked(status.error, token))
            return None
        user = status.user
        return Identity(authenticated(user.username, user.uid, user.groups or (), user.extra), meant)

    async def _ask(self, token: str, audiences: Audiences | None) -> _Status:
        spec = {"token": token} | ({"audiences": audiences} if audiences else {})
        review = {
            "apiVersion": self._api_version,
            "kind": "TokenReview",
            "metadata": {},
            "spec": spec,
            "status": {},
        }
        body = msgspec.json.encode(review)
        pause = BACKOFF
        for _ in range(ATTEMPTS - 1):
            try:
                answer = await self._remote.post(self._url, body, json_headers(self._credentials))
            except RemoteError as error:
                if not error.transient:
                    raise
            else:
                if answer.status not in _RETRIED and "retry-after" not in answer.headers:
                    return self._read(answer)
            await self._clock.sleep(pause * (1 + self._entropy.uniform(0, JITTER)))
            pause *= FACTOR
        return self._read(await self._remote.post(self._url, body, json_headers(self._credentials)))

    def _read(self, answer: Answer) -> _Status:
        if not 200 <= answer.status <= 206:
            raise RemoteError(f"the token webhook answered with status {answer.status}")
        try:
            review = _reviews.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteError("the token webhook did not answer with a TokenReview") from error
        if (review.kind or "TokenReview", review.api_version or self._api_version) != (
            "TokenReview",
            self._api_version,
        ):
            raise RemoteError(f"the token webhook did not answer with a TokenReview of {self._api_version}")
        return review.status


def _masked(text: str, token: str) -> str:
    return text.replace(token, _MASK)
