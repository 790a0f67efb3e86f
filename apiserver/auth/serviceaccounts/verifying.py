"""Is this text signed by one of our keys, and by whom does it say it was issued?

Invariant: the algorithm is the key's, never the token's. A key that the token names must be one of ours.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from kplane.runtime.tokenkeys import VerifyingKey

from ..identity import Refused
from .claims import Claims

T = TypeVar("T")

MAX_TOKEN = 64 * 1024
_CACHED = 4096

_jws = PyJWS()


class _Issuer(msgspec.Struct):
    iss: str = ""


class _Header(msgspec.Struct):
    kid: str = ""


_issuers = msgspec.json.Decoder(_Issuer)
_headers = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(Claims)


class Verifier:
    """Remembers what it has verified: a signature does not change. Everything else about a token does, and is
    its callers' business each time."""

    def __init__(self, issuers: Sequence[str], keys: Sequence[VerifyingKey]) -> None:
        self._issuers = frozenset(issuers)
        self._keys = {key.id: key for key in keys}
        self._verified: dict[bytes, Claims] = {}

    def claims(self, token: str) -> Claims | None:
        """The claims of a token that we signed; None if it is no token of these issuers. Raises Refused."""
        place = sha256(token.encode()).digest()
        known = self._verified.get(place)
        if known is not None:
            return known
        if unverified_issuer(token) not in self._issuers:
            return None
        found = self._verify(token)
        if len(self._verified) >= _CACHED:
            self._verified.clear()
        self._verified[place] = found
        return found

    def _verify(self, token: str) -> Claims:
        for key in self._candidates(token):
            try:
                payload = _jws.decode(token, key.key, algorithms=[key.algorithm])
                return _claims.decode(payload)
            except (PyJWTError, msgspec.DecodeError):
                continue
        raise Refused("invalid signature, no keys found")

    def _candidates(self, token: str) -> Sequence[VerifyingKey]:
        kid = _part(token, 0, _headers).kid
        if not kid:
            return list(self._keys.values())
        return [self._keys[kid]] if kid in self._keys else []


def unverified_issuer(token: str) -> str | None:
    """Who a token says has issued it: for choosing whom to ask, not to be believed. None: not a JWT."""
    if len(token) > MAX_TOKEN or token.count(".") != 2:
        return None
    try:
        return _part(token, 1, _issuers).iss
    except Refused:
        return None


def _part(token: str, index: int, decoder: msgspec.json.Decoder[T]) -> T:
    text = token.split(".")[index]
    try:
        return decoder.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Refused("malformed token") from error
