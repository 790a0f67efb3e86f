"""Bootstrap tokens: `ID.SECRET` of a Secret in kube-system, for nodes that join.

Source: plugin/pkg/auth/authenticator/token/bootstrap.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from kplane.api.clock import Clock

from .identity import Audiences, Identity
from .serviceaccounts.objects import Read, TokenSecret, read_secret
from .statictokens import for_own_audiences
from .user import authenticated

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
USER_PREFIX = "system:bootstrap:"
DEFAULT_GROUP = "system:bootstrappers"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})").fullmatch
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]").fullmatch


class BootstrapTokens:
    """They are good for the API server's own audiences. A bad one is nobody's, without a reason."""

    def __init__(self, audiences: Audiences, read: Read, clock: Clock) -> None:
        self._audiences = audiences
        self._read = read
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        match = _TOKEN(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        secret = await read_secret(self._read, NAMESPACE, f"bootstrap-token-{token_id}")
        if secret is None or not self._is_good(secret, token_id, token_secret):
            return None
        groups = _groups(secret.data or {})
        if groups is None:
            return None
        user = authenticated(f"{USER_PREFIX}{token_id}", groups=groups)
        return for_own_audiences(user, self._audiences, audiences)

    def _is_good(self, secret: TokenSecret, token_id: str, token_secret: str) -> bool:
        data = secret.data or {}
        return (
            secret.metadata.deletion_timestamp is None
            and secret.type == TYPE
            and hmac.compare_digest(data.get("token-secret", b""), token_secret.encode())
            and data.get("token-id", b"") == token_id.encode()
            and not self._expired(data)
            and data.get("usage-bootstrap-authentication", b"") == b"true"
        )

    def _expired(self, data: Mapping[str, bytes]) -> bool:
        text = data.get("expiration", b"").decode("utf-8", "replace")
        if not text:
            return False
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            # A time that nobody can read is no licence.
            return True
        return moment.tzinfo is None or moment <= self._clock.now()


def _groups(data: Mapping[str, bytes]) -> tuple[str, ...] | None:
    """None: one of the Secret's groups is not for bootstrap tokens."""
    text = data.get("auth-extra-groups", b"").decode("utf-8", "replace")
    extra = [name.strip() for name in text.split(",")] if text else []
    if not all(map(_GROUP, extra)):
        return None
    return tuple(sorted({DEFAULT_GROUP, *extra}))
