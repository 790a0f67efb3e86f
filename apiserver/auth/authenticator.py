"""Authentication: a request's credentials to a User, by a chain of authenticators in upstream's order.

    front proxy headers -> client certificates
    -> bearer tokens (static, service account, bootstrap, foreign issuers, webhook), of headers and WebSockets

The first that knows the user decides; one that refuses a credential leaves it to the next. Without any
credential a request is anonymous, where its path may be asked for by anybody; with nothing but bad ones it is
refused, even where an anonymous request would be served.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.clock import Clock, SystemClock
from kplane.api.errors import Unauthorized

from .anonymous import EVERYBODY, Anonymous
from .identity import Audiences, Credentials, Identity, Refused, RequestAuthenticator, TokenAuthenticator
from .metrics import AuthenticationMetrics, Result
from .user import ANONYMOUS, User
from .websockettokens import protocol_token

INVALID = "invalid bearer token"


class Authenticator:
    """The whole chain. `anonymous`: which requests without credentials are let in as nobody."""

    def __init__(
        self,
        requests: Sequence[RequestAuthenticator],
        tokens: Sequence[TokenAuthenticator],
        *,
        anonymous: Anonymous = EVERYBODY,
        clock: Clock | None = None,
        metrics: AuthenticationMetrics | None = None,
    ) -> None:
        self._requests = requests
        self._tokens = tokens
        self._anonymous = anonymous
        self._clock = clock or SystemClock()
        self._metrics = metrics

    async def authenticate(self, credentials: Credentials) -> User:
        """Raises Unauthorized."""
        began = self._clock.monotonic()
        result, name = Result.ERROR, ""
        try:
            user = await self._authenticate(credentials)
            result = Result.FAILURE
            if user is None and self._anonymous.admits(credentials.path):
                user = ANONYMOUS
            if user is None:
                raise Unauthorized
            result, name = Result.SUCCESS, user.name
            return user
        finally:
            if self._metrics is not None:
                self._metrics.ended(result, self._clock.monotonic() - began, name)

    async def _authenticate(self, credentials: Credentials) -> User | None:
        """None: there are no credentials. Raises Unauthorized where there are bad ones alone."""
        refused = False
        for authenticator in self._requests:
            try:
                user = await authenticator.authenticate(credentials)
            except Refused:
                refused = True
                continue
            if user is not None:
                return user
        for token_of in (bearer_token, _protocol_token):
            try:
                token = token_of(credentials)
                if not token:
                    continue
                identity = await self.review(token, None)
            except Refused as error:
                refused = True
                for note in error.notes:
                    credentials.note(*note)
            else:
                for text in identity.warnings:
                    credentials.warn(text)
                for note in identity.notes:
                    credentials.note(*note)
                return identity.user
        if refused:
            raise Unauthorized
        return None

    async def review(self, token: str, audiences: Audiences | None) -> Identity:
        """Whose a bearer token is. Raises Refused."""
        faults: list[str] = []
        notes: list[tuple[str, str]] = []
        for authenticator in self._tokens:
            try:
                identity = await authenticator.authenticate_token(token, audiences)
            except Refused as error:
                faults.append(str(error))
                notes += error.notes
                continue
            if identity is not None:
                return identity
        unique = list(dict.fromkeys([INVALID, *faults]))
        raise Refused(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]", tuple(notes))


def _protocol_token(credentials: Credentials) -> str:
    """Raises Refused."""
    return protocol_token(credentials.headers)


def bearer_token(credentials: Credentials) -> str:
    """The token of the `Authorization` header; empty if there is none."""
    header = (credentials.header(b"authorization") or b"").decode("latin-1").strip()
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    # Upstream takes the second word and ignores what follows.
    return rest.split(" ")[0]
