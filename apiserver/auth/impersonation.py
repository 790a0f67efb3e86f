"""Impersonation: acting as another user, each part of whose identity one must be allowed to take on.

    Impersonate-User, Impersonate-Group (repeatable), Impersonate-Uid, Impersonate-Extra-<key> (repeatable)

There are several ways to be allowed it (impersonationmodes.py): the constrained ones of KEP-5284, for certain
users and certain requests; and the one from before, for everything that the other user may do.

Source: apiserver `pkg/endpoints/filters/impersonation`. Unlike there, no verdict is kept, and so a right that
was taken away is gone at once.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from urllib.parse import unquote

from kplane.api.clock import Clock
from kplane.api.errors import BadRequest, Forbidden

from .authorizer import Attributes, Authorizer
from .impersonationmetrics import ImpersonationMetrics
from .impersonationmodes import MODES, Impersonated, Mode, Wanted

PREFIX = b"impersonate-"
_USER, _GROUP, _UID, _EXTRA = (PREFIX + part for part in (b"user", b"group", b"uid", b"extra-"))
_MALFORMED = re.compile(r"%(?![0-9a-f]{2})")
_REMEMBERED = 10_000


def wanted(headers: Sequence[tuple[bytes, bytes]]) -> Wanted | None:
    """None: the request acts as who it is. Raises BadRequest for parts without a user."""
    found: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name.lower().startswith(PREFIX):
            found.setdefault(name.lower(), []).append(value.decode("latin-1"))
    if not found:
        return None
    user, uid = (found.get(name, [""])[0] for name in (_USER, _UID))
    groups = tuple(found.get(_GROUP, ()))
    extra: dict[str, tuple[str, ...]] = {}
    for header, values in found.items():
        if header.startswith(_EXTRA):
            key = _unescaped(header.removeprefix(_EXTRA).decode("latin-1"))
            extra[key] = (*extra.get(key, ()), *values)
    asked = Wanted(user, uid, groups, extra)
    if not user and (groups or extra or uid):
        raise BadRequest(f"requested {_printed(asked)} without impersonating a user name")
    return asked if user else None


def _unescaped(key: str) -> str:
    """A key in percent encoding; one that is not is taken as it stands."""
    return key if _MALFORMED.search(key) else unquote(key)


class Impersonation:
    """Asks in each mode that applies, and remembers which one a user was let through by: they will use it
    again, and what they are told when they are refused is told from there."""

    def __init__(self, authorizer: Authorizer, metrics: ImpersonationMetrics, clock: Clock) -> None:
        self._modes = [Mode(made, authorizer, metrics, clock) for made in MODES]
        self._metrics = metrics
        self._clock = clock
        self._last: OrderedDict[str, Mode] = OrderedDict()

    async def impersonated(self, asked: Wanted, request: Attributes) -> Impersonated:
        """The user that the request acts as; `request` is about the user who makes it. Raises Forbidden."""
        began = self._clock.monotonic()
        try:
            mode, made = await self._first(asked, request)
        except Forbidden:
            self._metrics.ended("failed", self._clock.monotonic() - began)
            raise
        self._remember(request.user.name, mode)
        self._metrics.ended(mode.name, self._clock.monotonic() - began)
        return made

    async def _first(self, asked: Wanted, request: Attributes) -> tuple[Mode, Impersonated]:
        last = self._last.get(request.user.name)
        modes = self._modes if last is None else [last, *(mode for mode in self._modes if mode is not last)]
        refused: Forbidden | None = None
        for mode in modes:
            try:
                made = await mode.impersonated(asked, request)
            except Forbidden as error:
                refused = refused or error
                continue
            if made is not None:
                return mode, made
        assert refused is not None  # The mode of before applies to everything.
        raise refused

    def _remember(self, user: str, mode: Mode) -> None:
        self._last[user] = mode
        self._last.move_to_end(user)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)


def _printed(asked: Wanted) -> str:
    """As Go prints its structure."""
    groups = f"[]string{{{', '.join(map(_quoted, asked.groups))}}}" if asked.groups else "[]string(nil)"
    extra = "map[string][]string(nil)"
    if asked.extra:
        entries = (
            f"{_quoted(key)}:[]string{{{', '.join(map(_quoted, asked.extra[key]))}}}"
            for key in sorted(asked.extra)
        )
        extra = f"map[string][]string{{{', '.join(entries)}}}"
    return f'&user.DefaultInfo{{Name:"", UID:{_quoted(asked.uid)}, Groups:{groups}, Extra:{extra}}}'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
