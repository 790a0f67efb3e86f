"""May this user do this with this node? Paths and methods become subresources of the Node and verbs; the API
server decides, by SubjectAccessReview.

Source: pkg/kubelet/server/auth.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kplane.runtime.delegation.authorization import AccessReviews, ResourceAttributes
from kplane.runtime.delegation.users import User

VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
"""Any other method has the empty verb, which no role allows but one for all verbs."""

_FINE = (("pods", "pods"), ("healthz", "healthz"), ("configz", "configz"), ("runningpods", "pods"))
"""First part of a path, and the subresource that allows just that; `proxy` allows it as well."""
_OWN = {
    "stats": "stats",
    "metrics": "metrics",
    "logs": "log",
    "checkpoint": "checkpoint",
    "statusz": "statusz",
    "flagz": "configz",
}


class Mode(StrEnum):
    ALWAYS_ALLOW = "AlwaysAllow"
    WEBHOOK = "Webhook"


@dataclass(frozen=True)
class AuthorizationSettings:
    """Upstream's defaults of a kubelet without a configuration file."""

    mode: Mode = Mode.ALWAYS_ALLOW
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0


@dataclass(frozen=True)
class Question:
    """`subresources`: any of them suffices."""

    user: User
    verb: str
    node: str
    subresources: Sequence[str]


class Authorizer(Protocol):
    async def allows(self, question: Question, subresource: str) -> bool:
        """Raises ApiError where nobody decides."""


class AlwaysAllow:
    async def allows(self, question: Question, subresource: str) -> bool:
        return True


class NodeReviews:
    """The API server decides."""

    def __init__(self, reviews: AccessReviews) -> None:
        self._reviews = reviews

    async def allows(self, question: Question, subresource: str) -> bool:
        attributes = ResourceAttributes(question.verb, "v1", "nodes", subresource, question.node)
        return (await self._reviews.decide(question.user, attributes)).allowed


def subresources(root: str) -> Sequence[str]:
    """Which subresources of the Node allow paths with this first part; any of them."""
    if root in _OWN:
        return (_OWN[root],)
    fine = [subresource for part, subresource in _FINE if part == root]
    return (*fine, "proxy")
