"""May this user do this? The API server decides, by SubjectAccessReview.

Source: apiserver `pkg/authorization/authorizerfactory` (delegating), `plugin/pkg/authorizer/webhook`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from kplane.api.clock import Clock
from kplane.api.resource import Object, Resource

from .reviews import Kept, ReviewClient
from .users import User

ACCESS_REVIEWS: Resource[dict[str, Any]] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, dict
)
KEPT_ANSWERS = 8192
LONGEST_KEPT = 1000
"""Characters of a question whose answer is kept: strangers choose the path that they ask for."""


class ResourceAttributes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be done with an object."""

    verb: str
    version: str
    resource: str
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(msgspec.Struct, frozen=True):
    """What is to be done with a path."""

    path: str
    verb: str


Attributes: TypeAlias = ResourceAttributes | NonResourceAttributes


@dataclass(frozen=True)
class Verdict:
    """`reason`: what the API server says to it, often nothing."""

    allowed: bool
    reason: str = ""


class AccessReviews:
    """Verdicts of the API server, kept for these seconds."""

    def __init__(
        self, reviews: ReviewClient, clock: Clock, authorized_ttl: float, unauthorized_ttl: float
    ) -> None:
        self._reviews = reviews
        self._kept: Kept[tuple[User, Attributes], Verdict] = Kept(
            clock, KEPT_ANSWERS, lambda verdict: authorized_ttl if verdict.allowed else unauthorized_ttl
        )

    async def decide(self, user: User, attributes: Attributes) -> Verdict:
        """Raises ApiError where nobody decides."""
        if sum(map(len, msgspec.structs.astuple(attributes))) > LONGEST_KEPT:
            return await self._ask(user, attributes)
        return await self._kept.get((user, attributes), lambda: self._ask(user, attributes))

    async def _ask(self, user: User, attributes: Attributes) -> Verdict:
        status = await self._reviews.post(ACCESS_REVIEWS, _spec(user, attributes))
        allowed = bool(status.get("allowed")) and not status.get("denied")
        return Verdict(allowed, status.get("reason") or "")


def _spec(user: User, attributes: Attributes) -> Object:
    about = "resourceAttributes" if isinstance(attributes, ResourceAttributes) else "nonResourceAttributes"
    spec: Object = {
        "user": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra},
        about: msgspec.to_builtins(attributes),
    }
    return {name: value for name, value in spec.items() if value}
