"""Is a token the issuer's, meant for us, and in its time? Then its claims.

Source: go-oidc 2, `verify.go`. What a token says about itself is looked at before its signature: only a token
that could be good makes us fetch keys.

Invariant: the claims that are checked are those that are returned, read once from the bytes that were signed;
of a repeated claim the last one counts everywhere (RFC 7519, section 4).
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import msgspec
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from kplane.api.clock import Clock

from ..identity import Refused
from .keys import KeysError, KeySet

T = TypeVar("T")
Claims: TypeAlias = dict[str, Any]

NBF_LEEWAY = 60.0
"""Seconds by which the issuer's clock may be ahead of ours; no token lives longer than it says."""

_jws = PyJWS()


class _Standard(msgspec.Struct):
    """The claims that are checked."""

    iss: str = ""
    aud: str | list[str] = []
    exp: float = 0.0
    nbf: float | None = None


class _Header(msgspec.Struct):
    alg: str = ""
    kid: str = ""


_headers = msgspec.json.Decoder(_Header)
_payloads = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True)
class Verifier:
    """`issuer` and `audiences`: what a token must say. `algorithms`: with which it may be signed."""

    issuer: str
    audiences: tuple[str, ...]
    algorithms: Sequence[str]
    keys: KeySet
    clock: Clock

    async def claims(self, token: str) -> Claims:
        """Of a token whose issuer `unverified_issuer` could tell: it has three parts and no great length.
        Raises Refused."""
        head, content, _ = token.split(".")
        header = _decoded(head, _headers)
        payload = _decoded(content, _payloads)
        self._check(payload)
        if header.alg not in self.algorithms:
            expected = " ".join(f'"{name}"' for name in self.algorithms)
            raise Refused(
                f'oidc: id token signed with unsupported algorithm, expected [{expected}] got "{header.alg}"'
            )
        if not self._is_signed(token, header):
            await self._fetch_and_check(token, header)
        return payload

    def _check(self, payload: Claims) -> None:
        try:
            said = msgspec.convert(
                {name: value for name, value in payload.items() if value is not None}, _Standard, strict=True
            )
        except msgspec.ValidationError as error:
            raise Refused(f"oidc: failed to unmarshal claims: {error}") from error
        if issuer_of(said.iss) != self.issuer:
            raise Refused(
                f'oidc: id token issued by a different provider, expected "{self.issuer}" got "{said.iss}"'
            )
        audiences = [said.aud] if isinstance(said.aud, str) else said.aud
        if not set(audiences) & set(self.audiences):
            raise Refused(f"oidc: expected audience in {_listed(self.audiences)} got {_listed(audiences)}")
        now = self.clock.now().timestamp()
        if said.exp < now:
            raise Refused(f"oidc: token is expired (Token Expiry: {_shown(said.exp)})")
        if said.nbf is not None and now + NBF_LEEWAY < said.nbf:
            raise Refused(
                f"oidc: current time {_shown(now)} before the nbf (not before) time: {_shown(said.nbf)}"
            )

    async def _fetch_and_check(self, token: str, header: _Header) -> None:
        try:
            fetched = await self.keys.refresh()
        except KeysError as error:
            raise Refused(f"failed to verify signature: fetching keys {error}") from error
        if not fetched or not self._is_signed(token, header):
            raise Refused("failed to verify signature: failed to verify id token signature")

    def _is_signed(self, token: str, header: _Header) -> bool:
        for key in self.keys.candidates(header.kid, header.alg):
            try:
                _jws.decode(token, key.key, algorithms=[header.alg])
            except PyJWTError:
                continue
            return True
        return False


def issuer_of(claim: str) -> str:
    """Google names itself without a scheme."""
    return "https://accounts.google.com" if claim == "accounts.google.com" else claim


def _decoded(text: str, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise Refused("oidc: malformed jwt") from error


def _listed(names: Sequence[str]) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"


def _shown(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    except (ValueError, OverflowError, OSError):
        return str(moment)
