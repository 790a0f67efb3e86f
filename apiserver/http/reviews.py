"""Reviews: questions about identity and permission, answered from the request and forgotten.

`kubectl auth can-i` and `whoami` ask them, and kubelets and proxies about their own callers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from starlette.responses import Response

from kplane.api.errors import BadRequest
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..auth.authenticator import Authenticator
from ..auth.authorizer import Authorizer
from ..auth.identity import Audiences, Refused
from ..auth.user import User
from .call import Call
from .decoding import read_object
from .output import object_response
from .requestinfo import RequestInfo

Answer: TypeAlias = Callable[[Object, Call], Awaitable[Object]]
"""From the review's spec to its status."""


class Reviews:
    """Answers POST of every review."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, audiences: Audiences) -> None:
        """`audiences`: the API server's own."""
        self._authenticator = authenticator
        self._audiences = audiences
        self._authorizer = authorizer
        self._answers: Mapping[str, Answer] = {
            "selfsubjectreviews": self._who_am_i,
            "tokenreviews": self._review_token,
            "subjectaccessreviews": self._decide_for_subject,
            "localsubjectaccessreviews": self._decide_for_subject,
            "selfsubjectaccessreviews": self._decide_for_self,
            "selfsubjectrulesreviews": self._rules,
        }

    def resources(self) -> Mapping[str, Answer]:
        """By plural name."""
        return self._answers

    async def __call__(self, call: Call, row: ResourceInfo) -> Response:
        review = await read_object(call, row, "CreateOptions")
        answer = self._answers[row.plural]
        review["metadata"].setdefault("creationTimestamp", None)
        review["status"] = await answer(review.get("spec") or {}, call)
        return object_response(call, review, 201)

    async def _who_am_i(self, spec: Object, call: Call) -> Object:
        return {"userInfo": user_info(call.user)}

    async def _review_token(self, spec: Object, call: Call) -> Object:
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

    async def _decide_for_subject(self, spec: Object, call: Call) -> Object:
        return self._decide(_subject(spec), spec, call.info)

    async def _decide_for_self(self, spec: Object, call: Call) -> Object:
        return self._decide(call.user, spec, call.info)

    def _decide(self, user: User, spec: Object, asked: RequestInfo) -> Object:
        return {"allowed": self._authorizer.allows(user, _attributes(spec, asked))}

    async def _rules(self, spec: Object, call: Call) -> Object:
        """Everything or nothing: there are no roles yet."""
        everything = RequestInfo("*", "/", "*", {}, resource="*")
        if not self._authorizer.allows(call.user, everything):
            return {"resourceRules": [], "nonResourceRules": [], "incomplete": False}
        return {
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }


def user_info(user: User) -> Object:
    """A User as `authentication.k8s.io` UserInfo."""
    info: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {name: list(values) for name, values in user.extra.items()}
    return {name: value for name, value in info.items() if value}


def _subject(spec: Object) -> User:
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()))


def _attributes(spec: Object, asked: RequestInfo) -> RequestInfo:
    """The request that a review asks about."""
    if path := spec.get("nonResourceAttributes"):
        verb = path.get("verb", "")
        return RequestInfo(verb, path.get("path", ""), verb.upper(), {})
    what = spec.get("resourceAttributes") or {}
    verb = what.get("verb", "")
    return RequestInfo(
        verb,
        "",
        verb.upper(),
        {},
        group=what.get("group", ""),
        version=what.get("version", ""),
        namespace=what.get("namespace", "") or asked.namespace,
        resource=what.get("resource", ""),
        name=what.get("name", ""),
        subresource=what.get("subresource", ""),
    )
