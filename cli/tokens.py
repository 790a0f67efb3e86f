"""Bootstrap tokens: making, listing and deleting them, and the command by which a node joins.

Writes: Secrets of the token type in kube-system. Source: cmd/kubeadm/app/cmd `token.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from kplane.api import bootstraptokens as tokens
from kplane.api.bootstraptokens import Token, TokenSecret
from kplane.api.clock import Clock, Entropy, rfc3339
from kplane.api.errors import AlreadyExists, NotFound
from kplane.api.types import ConfigMap, Secret
from kplane.client.rest import Client
from kplane.runtime.process import Fatal

from .certs import columns, residual
from .clusterinfo import BOOTSTRAPPERS
from .discovery import parse, pins_of

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
DAY = 24 * 3600.0


@dataclass(frozen=True)
class Wish:
    """What a new token is to be. `seconds` 0: it never expires."""

    token: Token
    seconds: float = DAY
    description: str = ""
    groups: Sequence[str] = (BOOTSTRAPPERS,)
    usages: Sequence[str] = tokens.USAGES


def generate(entropy: Entropy) -> Token:
    return Token(*("".join(entropy.choice(ALPHABET) for _ in range(length)) for length in (6, 16)))


def parse_token(text: str) -> Token:
    """Raises Fatal, without repeating what may be a secret."""
    token = tokens.parse(text)
    if token is None:
        raise Fatal(r'the bootstrap token is not of the form "[a-z0-9]{6}.[a-z0-9]{16}"')
    return token


async def create(client: Client, wish: Wish, clock: Clock) -> None:
    """Raises Fatal for a wish that makes no sense, and for a token that is there."""
    _check(wish)
    expiration = rfc3339(clock.now() + timedelta(seconds=wish.seconds)) if wish.seconds else ""
    said = TokenSecret(
        wish.token.id,
        wish.token.secret,
        wish.description,
        expiration,
        tuple(wish.groups),
        tuple(wish.usages),
    )
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": wish.token.secret_name, "namespace": tokens.NAMESPACE},
        "type": tokens.SECRET_TYPE,
        "stringData": tokens.secret_data(said),
    }
    try:
        await client.create(Secret, body)
    except AlreadyExists as error:
        raise Fatal(f'a token with id "{wish.token.id}" already exists') from error


def _check(wish: Wish) -> None:
    if wish.seconds < 0:
        raise Fatal("--ttl must not be negative; 0 makes a token that never expires")
    for usage in wish.usages:
        if usage not in tokens.USAGES:
            raise Fatal(
                f"invalid bootstrap token usage string: {usage}, valid usage options: signing, authentication"
            )
    for group in wish.groups:
        if not tokens.is_group(group):
            raise Fatal(
                f"bootstrap group {group!r} is invalid "
                "(must match system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9])"
            )


async def listing(client: Client, now: datetime) -> str:
    """A table of all tokens."""
    selector = f"type={tokens.SECRET_TYPE}"
    found = (await client.list(Secret, tokens.NAMESPACE, field_selector=selector)).items
    read = [tokens.read_secret(secret.metadata.name, secret.data) for secret in found]
    rows = [_row(secret, now) for secret in read if secret is not None]
    return columns([("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"), *rows])


def _row(secret: TokenSecret, now: datetime) -> Sequence[str]:
    expires = secret.expires()
    return (
        str(Token(secret.id, secret.secret)),
        "<forever>" if expires is None else residual(expires - now),
        "<never>" if expires is None else rfc3339(expires),
        ",".join(sorted(secret.usages)) or "<none>",
        secret.description or "<none>",
        ",".join(secret.groups) or "<none>",
    )


async def delete(client: Client, text: str) -> str:
    """By id or by whole token; returns the id. Raises Fatal."""
    token_id = text if tokens.parse(f"{text}.{'0' * 16}") else parse_token(text).id
    try:
        await client.delete(Secret, f"{tokens.SECRET_PREFIX}{token_id}", tokens.NAMESPACE)
    except NotFound as error:
        raise Fatal(f'there is no token with id "{token_id}"') from error
    return token_id


async def join_command(client: Client, token: Token) -> str:
    """What to type on the machine that is to join. Raises Fatal."""
    try:
        info = await client.get(ConfigMap, tokens.CLUSTER_INFO, tokens.CLUSTER_INFO_NAMESPACE)
    except NotFound as error:
        raise Fatal("the cluster has no cluster-info: no node can join it") from error
    found = parse(info.data.get(tokens.KUBECONFIG_KEY, ""))
    pins = " ".join(f"--discovery-token-ca-cert-hash {text}" for text in pins_of(found.authority))
    return f"kplane join {urlsplit(found.server).netloc} --token {token} {pins}"
