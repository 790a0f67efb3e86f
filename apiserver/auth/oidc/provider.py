"""One issuer: what it says about itself, its keys, and whose its tokens are.

The discovery document is fetched in the background until it is there: the server starts, and serves others,
while the issuer is down, which may even run in this cluster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from kplane.api.clock import Clock

from ..identity import Refused
from ..remote import Answer, Remote, RemoteError, trusting
from ..user import User
from .keys import KeySet
from .mapping import ClaimMapper
from .metrics import OidcMetrics
from .validation import Sound
from .verifying import Verifier

RETRY = 10.0
"""Seconds between two attempts to have the discovery document."""
WELL_KNOWN = "/.well-known/openid-configuration"

log = logging.getLogger(__name__)


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str = ""
    jwks_uri: str = ""


_documents = msgspec.json.Decoder(_Discovery)


class Provider:
    """`ready` is set once the issuer's tokens can be verified."""

    def __init__(self, sound: Sound, algorithms: Sequence[str], clock: Clock, metrics: OidcMetrics) -> None:
        issuer = sound.authenticator.issuer
        self.url = issuer.url
        self.ready = asyncio.Event()
        self._document = issuer.discovery_url or issuer.url.removesuffix("/") + WELL_KNOWN
        self._remote = Remote(trusting(issuer.certificate_authority), follow=True)
        self._clock = clock
        self._metrics = metrics
        self._keys_url = ""
        keys = KeySet(self._fetch_keys, self._fetched_keys, clock)
        self._verifier = Verifier(issuer.url, issuer.audiences, algorithms, keys, clock)
        self._mapper = ClaimMapper(sound)

    async def run(self) -> None:
        """Return once the issuer has been found."""
        while not await self._discover():
            await self._clock.sleep(RETRY)

    async def close(self) -> None:
        await self._remote.close()

    async def authenticate(self, token: str) -> User:
        """Raises Refused."""
        began = self._clock.monotonic()
        ok = False
        try:
            user = await self._authenticate(token)
            ok = True
        finally:
            self._metrics.authenticated(self.url, ok=ok, seconds=self._clock.monotonic() - began)
        return user

    async def _authenticate(self, token: str) -> User:
        if not self.ready.is_set():
            raise Refused("oidc: authenticator not initialized")
        try:
            claims = await self._verifier.claims(token)
        except Refused as error:
            raise Refused(f"oidc: verify token: {error}") from error
        return self._mapper.user(claims)

    async def _discover(self) -> bool:
        try:
            self._keys_url = _read(await self._remote.get(self._document), self.url)
        except RemoteError as error:
            log.error("oidc authenticator: initializing plugin: %s", error)
            return False
        self.ready.set()
        return True

    async def _fetch_keys(self) -> Answer:
        return await self._remote.get(self._keys_url)

    def _fetched_keys(self, body: bytes | None) -> None:
        self._metrics.fetched_keys(self.url, self._clock.now().timestamp(), body)


def _read(answer: Answer, issuer: str) -> str:
    """The address of the keys. Raises RemoteError."""
    if answer.status != 200:
        raise RemoteError(f"oidc: the discovery document was answered with status {answer.status}")
    try:
        found = _documents.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteError(f"oidc: failed to decode provider discovery object: {error}") from error
    if found.issuer != issuer:
        raise RemoteError(
            f'oidc: issuer did not match the issuer returned by provider, expected "{issuer}" got'
            f' "{found.issuer}"'
        )
    if not found.jwks_uri:
        raise RemoteError("oidc: the discovery document names no jwks_uri")
    return found.jwks_uri
