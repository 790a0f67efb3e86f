"""Reviews: questions about identity and permission, answered from the request and forgotten.

`kubectl auth can-i` and `whoami` ask them, and kubelets and proxies about their own callers.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from kplane.api.errors import BadRequest
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..auth.authenticator import Authenticator
from ..auth.authorizer import Authorizer
from ..auth.identity import Audiences, Refused
from ..auth.user import User
from .accessreviews import AccessReviews, Answer
from .call import Call
from .decoding import read_object
from .output import object_response


class Reviews:
    """Answers POST of every review."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, audiences: Audiences) -> None:
        """`audiences`: the API server's own."""
        self._authenticator = authenticator
        self._audiences = audiences
        self._answers: Mapping[str, Answer] = {
            "selfsubjectreviews": self._who_am_i,
            "tokenreviews": self._review_token,
            **AccessReviews(authorizer).answers(),
        }

    def resources(self) -> Mapping[str, Answer]:
        """By plural name."""
        return self._answers

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        review = await read_object(call, row, "CreateOptions")
        answer = self._answers[row.plural]
        review["metadata"].setdefault("creationTimestamp", None)
        review["status"] = await answer(review, call)
        return object_response(call, review, 201)

    async def _who_am_i(self, review: Object, call: Call) -> Object:
        return {"userInfo": user_info(call.user)}

    async def _review_token(self, review: Object, call: Call) -> Object:
        spec = review.get("spec") or {}
        token = spec.get("token", "")
        if not token:
            raise BadRequest("token is required for TokenReview in authentication")
        audiences = tuple(spec.get("audiences") or ()) or self._audiences
        try:
            identity = await self._authenticator.review(token, audiences or None)
        except Refused as error:
            return {"user": {}, "error": str(error)}
        status: Object = {"authenticated": True, "user": user_info(identity.user)}
        return status | ({"audiences": list(identity.audiences)} if identity.audiences else {})


def user_info(user: User) -> Object:
    """A User as `authentication.k8s.io` UserInfo."""
    info: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {name: list(values) for name, values in user.extra.items()}
    return {name: value for name, value in info.items() if value}
