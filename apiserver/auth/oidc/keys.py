"""The public keys of an issuer: fetched when a token needs one that is not known, kept until then.

Source: go-oidc 2, `jwks.go`. Invariant: the key that a token names is looked for in the set and nowhere else,
and a key verifies only with the algorithms that are made for it. A stranger who names keys that do not exist
makes us ask the issuer once in PAUSE, or as seldom as the issuer's `Cache-Control` says.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.api_jwk import PyJWK
from jwt.exceptions import PyJWTError

from kplane.api.clock import Clock
from kplane.client.flights import Flights

from ..remote import Answer, RemoteError

PAUSE = 10.0
"""Seconds between two fetches at least, whatever tokens say."""
EARLY = 30.0
"""Seconds before they expire from which keys may be fetched anew."""
MAX_AGE = 24 * 3600.0
MAX_KEYS = 100

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})").search
_UNCACHED = re.compile(r"(?:^|[\s,])(?:no-store|no-cache)(?:$|[\s,=])").search


class KeysError(Exception):
    """The keys could not be had."""


@dataclass(frozen=True)
class Key:
    id: str
    key: PublicKey
    algorithms: frozenset[str]


class _Set(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


_sets = msgspec.json.Decoder(_Set)


class KeySet:
    """`fetch` asks the issuer; `fetched` is told of each answer (None: there was none)."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Answer]],
        fetched: Callable[[bytes | None], None],
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._fetched = fetched
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._next = float("-inf")
        self._flights: Flights[None, str] = Flights()

    def candidates(self, kid: str, algorithm: str) -> list[Key]:
        """Known keys that may have signed."""
        return [key for key in self._keys if (not kid or key.id == kid) and algorithm in key.algorithms]

    async def refresh(self) -> bool:
        """Ask the issuer, if it is time; whether that was done. Raises KeysError."""
        if self._clock.monotonic() < self._next and not self._flights.is_running(None):
            return False
        fault = await self._flights.join(None, self._renew)
        if fault:
            raise KeysError(fault)
        return True

    async def _renew(self) -> str:
        """What went wrong; empty if nothing did."""
        try:
            answer = await self._fetch()
            if answer.status != 200:
                raise RemoteError(f"get keys failed: {answer.status}")
            self._keys = read_keys(answer.body)
        except (RemoteError, msgspec.DecodeError, UnicodeDecodeError) as error:
            # Keys that are known stay in use: the issuer may be down for a while.
            self._next = self._clock.monotonic() + PAUSE
            self._fetched(None)
            return f"oidc: {'failed to decode keys: ' if not isinstance(error, RemoteError) else ''}{error}"
        self._next = self._clock.monotonic() + max(PAUSE, max_age(answer.headers) - EARLY)
        self._fetched(answer.body)
        return ""


def read_keys(body: bytes) -> tuple[Key, ...]:
    """The usable keys of a JSON Web Key Set (RFC 7517); others, above all symmetric ones, are left out.
    Raises msgspec.DecodeError."""
    found = (_read_key(entry) for entry in _sets.decode(body).keys[:MAX_KEYS])
    return tuple(key for key in found if key is not None)


def max_age(headers: Mapping[str, str]) -> float:
    """Seconds that an answer may be kept, by its `Cache-Control`."""
    said = headers.get("cache-control", "").lower()
    match = _MAX_AGE(said)
    return min(float(match[1]), MAX_AGE) if match and not _UNCACHED(said) else 0.0


def _read_key(entry: dict[str, Any]) -> Key | None:
    try:
        # The algorithm is ours to choose: what the entry says of it is of no use.
        key = PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    kid = entry.get("kid", "")
    kid = kid if isinstance(kid, str) else ""
    if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        key = key.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return Key(kid, key, _RSA)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return Key(kid, key, frozenset({_CURVES[key.curve.name]}))
    return None
