"""Impersonation: acting as another user, each part of whose identity one must be allowed to take on.

    Impersonate-User, Impersonate-Group (repeatable), Impersonate-Uid, Impersonate-Extra-<key> (repeatable)

Source: apiserver `pkg/endpoints/filters/impersonation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from kplane.api.errors import InternalError

from .authorizer import Attributes, Authorizer, refusal
from .serviceaccounts import names
from .user import ANONYMOUS_NAME, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, User

PREFIX = b"impersonate-"
_USER, _GROUP, _UID, _EXTRA = (PREFIX + part for part in (b"user", b"group", b"uid", b"extra-"))
_GROUP_NAME = "authentication.k8s.io"


@dataclass(frozen=True)
class Wanted:
    """Who the request wants to be."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: dict[str, tuple[str, ...]]


def wanted(headers: Sequence[tuple[bytes, bytes]]) -> Wanted | None:
    """None: the request acts as who it is. Raises InternalError for parts without a user."""
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
            key = unquote(header.removeprefix(_EXTRA).decode("latin-1")).lower()
            extra[key] = (*extra.get(key, ()), *values)
    asked = Wanted(user, uid, groups, extra)
    if not user and (groups or extra or uid):
        raise InternalError(f"requested {_listed(asked)} without impersonating a user")
    return asked if user else None


async def impersonated(user: User, asked: Wanted, authorizer: Authorizer) -> User:
    """The user that the request acts as. Raises Forbidden."""
    for part in _parts(user, asked):
        verdict = await authorizer.authorize(part)
        if not verdict.allowed:
            raise refusal(part, verdict.reason)
    return User(asked.name, asked.uid, _groups(asked), asked.extra)


def _parts(user: User, asked: Wanted) -> Iterator[Attributes]:
    """What must be allowed, one question each."""
    account = names.split_username(asked.name)
    if account is not None:
        yield _question(user, "serviceaccounts", account[1], namespace=account[0])
    else:
        yield _question(user, "users", asked.name)
    for group in asked.groups:
        yield _question(user, "groups", group)
    for key, values in asked.extra.items():
        for value in values:
            yield _question(user, "userextras", value, group=_GROUP_NAME, subresource=key)
    if asked.uid:
        yield _question(user, "uids", asked.uid, group=_GROUP_NAME)


def _question(
    user: User, resource: str, name: str, *, namespace: str = "", group: str = "", subresource: str = ""
) -> Attributes:
    return Attributes(
        user,
        "impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _groups(asked: Wanted) -> tuple[str, ...]:
    groups = asked.groups
    account = names.split_username(asked.name)
    if account is not None and not groups:
        groups = names.groups(account[0])
    if asked.name == ANONYMOUS_NAME:
        return groups if UNAUTHENTICATED_GROUP in groups else (*groups, UNAUTHENTICATED_GROUP)
    if {AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP} & set(groups):
        return groups
    return (*groups, AUTHENTICATED_GROUP)


def _listed(asked: Wanted) -> str:
    """As upstream prints its object references."""
    version = f"{_GROUP_NAME}/v1"
    parts = [f"{{Group  {name}    }}" for name in asked.groups]
    for key, values in asked.extra.items():
        parts += [f"{{UserExtra  {value}  {version}  {key}}}" for value in values]
    if asked.uid:
        parts.append(f"{{UID  {asked.uid}  {version}  }}")
    return f"[{' '.join(parts)}]"
