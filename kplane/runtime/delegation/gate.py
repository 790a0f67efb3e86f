"""The gate of a port of health, metrics and the like: open paths for everybody, and the rest for those whom
the API server knows and allows.

Every answer fails closed: without the API server there are no tokens (401) and no decisions (500).
Source: apiserver `pkg/authorization/path`, `pkg/endpoints/filters`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kplane.api.errors import ApiError, Forbidden, Unauthorized
from kplane.api.field import quoted
from kplane.runtime.health import respond
from kplane.runtime.serving import Scope, peer_certificate

from .authentication import Authentication
from .authorization import AccessReviews, NonResourceAttributes, Verdict
from .users import User

log = logging.getLogger(__name__)

MASTERS = "system:masters"
"""The group that may do everything, whatever the API server would say."""
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""Answers repeat what the caller sent, and may be shown in a browser."""

App = Callable[..., Any]


class OpenPaths:
    """Paths that need no rights: whole ones, and prefixes, which end in `*`. The first `/` may be missing."""

    def __init__(self, patterns: Sequence[str]) -> None:
        bare = [pattern.removeprefix("/") for pattern in patterns]
        self._whole = frozenset(pattern for pattern in bare if not pattern.endswith("*"))
        self._prefixes = tuple(pattern[:-1] for pattern in bare if pattern.endswith("*"))

    def __contains__(self, path: str) -> bool:
        bare = path.removeprefix("/")
        return bare in self._whole or bare.startswith(self._prefixes)


@dataclass(frozen=True)
class PathAccess:
    """`reviews` is None where there is nobody to ask."""

    open_paths: OpenPaths
    reviews: AccessReviews | None

    async def decide(self, user: User, attributes: NonResourceAttributes) -> Verdict:
        """Raises ApiError where nobody decides."""
        if MASTERS in user.groups or attributes.path in self.open_paths:
            return Verdict(True)
        if self.reviews is None:
            return Verdict(False)
        return await self.reviews.decide(user, attributes)


class Gate:
    """The ASGI application in front of another one. Callers who prove no identity are system:anonymous;
    those whose proof is no good are refused everywhere."""

    def __init__(self, app: App, authentication: Authentication, access: PathAccess) -> None:
        self._app = app
        self._authentication = authentication
        self._access = access

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        attributes = NonResourceAttributes(scope["path"], scope["method"].lower())
        try:
            user = await self._authentication.user(peer_certificate(scope), scope["headers"])
        except Unauthorized as error:
            await _refuse(send, error)
            return
        try:
            verdict = await self._access.decide(user, attributes)
        except ApiError as error:
            path = quoted(attributes.path)
            log.error("authorization failed user=%s path=%s error=%s", quoted(user.name), path, error)
            text = f"Internal Server Error: {path}: {error}\n"
            await respond(send, 500, text.translate(_HTML).encode())
            return
        if not verdict.allowed:
            await _refuse(send, _forbidden(user, attributes, verdict.reason))
            return
        await self._app(scope, receive, send)


def _forbidden(user: User, attributes: NonResourceAttributes, reason: str) -> Forbidden:
    who = f"User {quoted(user.name)} cannot {attributes.verb} path {quoted(attributes.path)}"
    said = f"forbidden: {who}".translate(_HTML)
    return Forbidden(f"{said}: {reason}" if reason else said, {})


async def _refuse(send: Any, error: ApiError) -> None:
    await respond(send, error.code, msgspec.json.encode(error.status()), "application/json")
