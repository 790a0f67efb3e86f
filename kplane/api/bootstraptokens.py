"""Bootstrap tokens: `ID.SECRET`, the Secrets that hold them, and the signatures made with them. Values only.

A token authenticates a node that joins, and signs the ConfigMap `cluster-info`, so that the node can trust
what it read without credentials. Source: k8s.io/cluster-bootstrap (`token/api`, `token/util`, `token/jws`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105
SECRET_PREFIX = "bootstrap-token-"  # noqa: S105
NAMESPACE = "kube-system"

CLUSTER_INFO = "cluster-info"
CLUSTER_INFO_NAMESPACE = "kube-public"
KUBECONFIG_KEY = "kubeconfig"
SIGNATURE_PREFIX = "jws-kubeconfig-"

USAGES = ("signing", "authentication")

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


@dataclass(frozen=True)
class Token:
    """`ID.SECRET`. The secret is never printed."""

    id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def secret_name(self) -> str:
        return f"{SECRET_PREFIX}{self.id}"


def parse(text: str) -> Token | None:
    """None for what is no token."""
    match = _TOKEN.fullmatch(text)
    return Token(*match.groups()) if match else None


def is_group(name: str) -> bool:
    """Whether a token may authenticate as a member of this group."""
    return _GROUP.fullmatch(name) is not None


@dataclass(frozen=True)
class TokenSecret:
    """What a Secret of the token type says. Values decoded."""

    id: str
    secret: str = field(repr=False)
    description: str = ""
    expiration: str = ""
    groups: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()

    def expires(self) -> datetime | None:
        """None: never, or not at a time that can be read."""
        return read_time(self.expiration)

    def expired(self, now: datetime) -> bool:
        """An expiration that cannot be read is over: it is no licence."""
        if not self.expiration:
            return False
        moment = self.expires()
        return moment is None or moment <= now


def read_secret(name: str, data: Mapping[str, str]) -> TokenSecret | None:
    """From a Secret's data (base64). None where name, id or secret do not belong together."""
    values = {key: decoded(value) for key, value in data.items()}
    token = parse(f"{values.get('token-id', '')}.{values.get('token-secret', '')}")
    if token is None or name != token.secret_name:
        return None
    groups = values.get("auth-extra-groups", "")
    return TokenSecret(
        token.id,
        token.secret,
        values.get("description", ""),
        values.get("expiration", ""),
        tuple(filter(None, (group.strip() for group in groups.split(",")))),
        tuple(_usages(values)),
    )


def _usages(values: Mapping[str, str]) -> Iterator[str]:
    for usage in USAGES:
        if values.get(f"usage-bootstrap-{usage}") == "true":
            yield usage


def secret_data(token: TokenSecret) -> dict[str, str]:
    """The Secret's `stringData`."""
    data = {"token-id": token.id, "token-secret": token.secret}
    optional = {
        "description": token.description,
        "expiration": token.expiration,
        "auth-extra-groups": ",".join(token.groups),
    }
    return data | {
        **{key: value for key, value in optional.items() if value},
        **{f"usage-bootstrap-{usage}": "true" for usage in token.usages},
    }


def signature(content: str, token: Token) -> str:
    """A JWS (RFC 7515, HS256) of `content` with the token's secret, without its payload: `HEADER..MAC`."""
    header = _url64(json.dumps({"alg": "HS256", "kid": token.id}, separators=(",", ":")).encode())
    signed = f"{header}.{_url64(content.encode())}"
    mac = hmac.new(token.secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{header}..{_url64(mac)}"


def signature_is_good(claimed: str, content: str, token: Token) -> bool:
    return hmac.compare_digest(claimed.encode(), signature(content, token).encode())


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def read_time(text: str) -> datetime | None:
    """RFC 3339; None for what is no moment."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def decoded(text: str) -> str:
    """A value of a Secret's data."""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
