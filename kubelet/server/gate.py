"""The node server's gate: nobody passes who has not been recognised and allowed.

Every answer fails closed: without the API server there are no tokens (401) and no decisions (500).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, Forbidden, InternalError
from kplane.client.rest import Client
from kplane.runtime.authorities import Authorities
from kplane.runtime.delegation.authentication import Authentication, Tokens
from kplane.runtime.delegation.authorization import AccessReviews
from kplane.runtime.delegation.reviews import ReviewClient
from kplane.runtime.delegation.users import User
from kplane.runtime.serving import Scope, peer_certificate

from .authentication import AuthenticationSettings
from .authorization import (
    VERBS,
    AlwaysAllow,
    AuthorizationSettings,
    Authorizer,
    Mode,
    NodeReviews,
    Question,
    subresources,
)

log = logging.getLogger(__name__)


class Gate:
    """`node`: the name of the Node that callers must have rights to."""

    def __init__(self, node: str, authentication: Authentication, authorizer: Authorizer) -> None:
        self._node = node
        self._authentication = authentication
        self._authorizer = authorizer

    async def admit(self, scope: Scope, root: str) -> User:
        """Who asks for paths whose first part is `root`: the one that routes the request, so that nothing is
        asked for under another path's name. Raises Unauthorized, Forbidden, and InternalError where nobody
        decides."""
        user = await self._authentication.user(peer_certificate(scope), scope["headers"])
        question = Question(user, VERBS.get(scope["method"], ""), self._node, subresources(root))
        if not await self._allowed(question):
            raise Forbidden(f"Forbidden ({_said(question)}, subresource(s)={_go(question.subresources)})")
        return user

    async def _allowed(self, question: Question) -> bool:
        for subresource in question.subresources:
            try:
                if await self._authorizer.allows(question, subresource):
                    return True
            except ApiError as error:
                said = f"{_said(question)}, subresource={subresource}"
                log.error("authorization failed %s error=%s", said, error)
                raise InternalError(f"Authorization error ({said})") from error
        return False


def _said(question: Question) -> str:
    return f"user={question.user.name}, verb={question.verb}, resource=nodes"


def _go(words: Sequence[str]) -> str:
    """A list as Go prints it."""
    return f"[{' '.join(words)}]"


def build(
    node: str,
    authentication: AuthenticationSettings,
    authorization: AuthorizationSettings,
    client: Client,
    clock: Clock,
    entropy: Entropy,
) -> Gate:
    """Raises Fatal for authorities that cannot be read."""
    reviews = ReviewClient(client, clock, entropy)
    file = authentication.client_ca_file
    authorities = Authorities.load(file, clock) if file is not None else None
    tokens = Tokens(reviews, clock, authentication.cache_ttl) if authentication.webhook else None
    authorizer: Authorizer = AlwaysAllow()
    if authorization.mode is Mode.WEBHOOK:
        lifetimes = authorization.authorized_ttl, authorization.unauthorized_ttl
        authorizer = NodeReviews(AccessReviews(reviews, clock, *lifetimes))
    return Gate(node, Authentication(authorities, tokens, anonymous=authentication.anonymous), authorizer)
