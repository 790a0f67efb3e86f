"""May this user do this with this node? Paths and methods become subresources of the Node and verbs; the API
server decides, by SubjectAccessReview.

Source: pkg/kubelet/server/auth.go, apiserver `pkg/authorization/authorizerfactory` (delegating).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from kplane.api.clock import Clock
from kplane.api.resource import Object, Resource

from .reviews import Kept, Reviewer
from .users import User

ACCESS_REVIEWS: Resource[dict[str, Any]] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, dict
)
KEPT_ANSWERS = 8192

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


class AccessReviews:
    """The API server decides."""

    def __init__(self, reviewer: Reviewer, clock: Clock, settings: AuthorizationSettings) -> None:
        self._reviewer = reviewer
        self._kept: Kept[tuple[User, str, str, str], bool] = Kept(
            clock,
            KEPT_ANSWERS,
            lambda allowed: settings.authorized_ttl if allowed else settings.unauthorized_ttl,
        )

    async def allows(self, question: Question, subresource: str) -> bool:
        key = question.user, question.verb, question.node, subresource
        return await self._kept.get(key, lambda: self._ask(question, subresource))

    async def _ask(self, question: Question, subresource: str) -> bool:
        status = await self._reviewer.post(ACCESS_REVIEWS, _spec(question, subresource))
        return bool(status.get("allowed")) and not status.get("denied")


def subresources(root: str) -> Sequence[str]:
    """Which subresources of the Node allow paths with this first part; any of them."""
    if root in _OWN:
        return (_OWN[root],)
    fine = [subresource for part, subresource in _FINE if part == root]
    return (*fine, "proxy")


def _spec(question: Question, subresource: str) -> Object:
    user = question.user
    attributes = {
        "verb": question.verb,
        "version": "v1",
        "resource": "nodes",
        "subresource": subresource,
        "name": question.node,
    }
    spec: Object = {
        "user": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
        "resourceAttributes": attributes,
    }
    return {name: value for name, value in spec.items() if value}
