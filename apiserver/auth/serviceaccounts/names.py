"""Names that a service account has as a user."""

from __future__ import annotations

from collections.abc import Mapping

from kplane.api import names

from ..user import User, authenticated

PREFIX = "system:serviceaccount:"
ALL_GROUP = "system:serviceaccounts"

LEGACY_ISSUER = "kubernetes/serviceaccount"


def username(namespace: str, name: str) -> str:
    return f"{PREFIX}{namespace}:{name}"


def split_username(text: str) -> tuple[str, str] | None:
    """Namespace and name; None if this is no service account's user name."""
    if not text.startswith(PREFIX):
        return None
    namespace, separator, name = text.removeprefix(PREFIX).partition(":")
    if not separator or names.dns_label(namespace) or names.dns_subdomain(name):
        return None
    return namespace, name


def groups(namespace: str) -> tuple[str, str]:
    return ALL_GROUP, f"{ALL_GROUP}:{namespace}"


def account(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    """The user that a service account is."""
    return authenticated(username(namespace, name), uid, groups(namespace), extra)
