"""Authentication: a request's credentials to a User, by a chain of authenticators in upstream's order.

    front proxy headers -> client certificates -> bearer tokens (static, service account, bootstrap)

The first that knows the user decides; one that refuses a credential leaves it to the next. Without any
credential a request is anonymous; with nothing but bad ones it is refused, even where an anonymous request
would be served.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.errors import Unauthorized

from .identity import Audiences, Credentials, Identity, Refused, RequestAuthenticator, TokenAuthenticator
from .user import ANONYMOUS, User

INVALID = "invalid bearer token"


class Authenticator:
    """The whole chain. `anonymous`: whether a request without credentials is let in as nobody."""

    def __init__(
        self,
        requests: Sequence[RequestAuthenticator],
        tokens: Sequence[TokenAuthenticator],
        *,
        anonymous: bool = True,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._anonymous = anonymous

    async def authenticate(self, credentials: Credentials) -> User:
        """Raises Unauthorized."""
        refused = False
        for authenticator in self._requests:
            try:
                user = await authenticator.authenticate(credentials)
            except Refused:
                refused = True
                continue
            if user is not None:
                return user
        token = bearer_token(credentials)
        if token:
            try:
                return (await self.review(token, None)).user
            except Refused:
                refused = True
        if refused or not self._anonymous:
            raise Unauthorized
        return ANONYMOUS

    async def review(self, token: str, audiences: Audiences | None) -> Identity:
        """Whose a bearer token is. Raises Refused."""
        faults: list[str] = []
        for authenticator in self._tokens:
            try:
                identity = await authenticator.authenticate_token(token, audiences)
            except Refused as error:
                faults.append(str(error))
                continue
            if identity is not None:
                return identity
        unique = list(dict.fromkeys([INVALID, *faults]))
        raise Refused(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")


def bearer_token(credentials: Credentials) -> str:
    """The token of the `Authorization` header; empty if there is none."""
    header = (credentials.header(b"authorization") or b"").decode("latin-1").strip()
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    # Upstream takes the second word and ignores what follows.
    return rest.split(" ")[0]
