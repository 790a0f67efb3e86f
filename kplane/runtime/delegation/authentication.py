"""Who asks: client certificates of the cluster, bearer tokens that the API server knows, else nobody.

Source: apiserver `pkg/authentication/authenticatorfactory` (delegating). A request whose credentials are no
good is refused even where strangers are let in.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Unauthorized
from kplane.api.resource import Object, Resource
from kplane.runtime.authorities import Authorities, Untrusted

from .reviews import Kept, ReviewClient
from .users import ANONYMOUS, User, authenticated, user_of

TOKEN_REVIEWS: Resource[dict[str, Any]] = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", False, dict
)
KEPT_TOKENS = 4096
TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 the name of a subprotocol

Headers = Sequence[tuple[bytes, bytes]]


class Tokens:
    """Bearer tokens, as the API server judges them. A verdict is kept, good or bad; the token is not, only
    its hash."""

    def __init__(self, reviews: ReviewClient, clock: Clock, ttl: float) -> None:
        self._reviews = reviews
        self._kept: Kept[bytes, User | None] = Kept(clock, KEPT_TOKENS, lambda user: ttl)

    async def user(self, token: str) -> User | None:
        """None: the token is not good. Raises ApiError where that cannot be found out."""
        return await self._kept.get(sha256(token.encode()).digest(), lambda: self._ask(token))

    async def _ask(self, token: str) -> User | None:
        status = await self._reviews.post(TOKEN_REVIEWS, {"token": token})
        if not status.get("authenticated"):
            return None
        return authenticated(_reviewed(status.get("user") or {}))


def _reviewed(user: Object) -> User:
    extra = tuple(sorted((key, tuple(values)) for key, values in (user.get("extra") or {}).items()))
    return User(user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ()), extra)


class Authentication:
    """`tokens` is None where no bearer tokens are taken, `authorities` where no certificates are."""

    def __init__(self, authorities: Authorities | None, tokens: Tokens | None, *, anonymous: bool) -> None:
        self._authorities = authorities
        self._tokens = tokens
        self._anonymous = anonymous

    async def user(self, certificate: bytes | None, headers: Headers) -> User:
        """Raises Unauthorized."""
        bad = False
        if certificate is not None and self._authorities is not None:
            try:
                found = user_of(self._authorities.verified(certificate), certificate)
            except Untrusted:
                bad = True
            else:
                if found is not None:
                    return found
        token = _bearer(headers) or _protocol_token(headers)
        if token and self._tokens is not None:
            return await self._token_user(self._tokens, token)
        if bad or not self._anonymous:
            raise Unauthorized
        return ANONYMOUS

    async def _token_user(self, tokens: Tokens, token: str) -> User:
        try:
            found = await tokens.user(token)
        except ApiError as error:
            # Who cannot be judged is not let in.
            raise Unauthorized from error
        if found is None:
            raise Unauthorized
        return found


def _bearer(headers: Headers) -> str:
    """The token of the Authorization header; empty without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""


def _protocol_token(headers: Headers) -> str:
    """The token that a browser hands over as a subprotocol of its WebSocket, since it can set no header.
    Raises Unauthorized for one that cannot be read, is not alone, or has no real subprotocol beside it."""
    sent = {name: value.decode("latin-1") for name, value in headers if name in (b"connection", b"upgrade")}
    if (
        "upgrade" not in sent.get(b"connection", "").lower()
        or sent.get(b"upgrade", "").lower() != "websocket"
    ):
        return ""
    offered = [
        text.strip()
        for name, value in headers
        if name == b"sec-websocket-protocol"
        for text in value.decode("latin-1").split(",")
    ]
    tokens = [text.removeprefix(TOKEN_PROTOCOL) for text in offered if text.startswith(TOKEN_PROTOCOL)]
    if not tokens:
        return ""
    if len(tokens) > 1 or len(offered) == 1:
        raise Unauthorized
    try:
        padding = "=" * (-len(tokens[0]) % 4)
        return base64.b64decode(tokens[0] + padding, altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise Unauthorized from error
