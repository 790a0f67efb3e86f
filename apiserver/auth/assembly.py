"""The chain of authenticators that the settings name, in upstream's order."""

from __future__ import annotations

import base64
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock, Entropy
from kplane.runtime.authorities import Authorities, overlap
from kplane.runtime.process import Fatal
from kplane.runtime.tokenkeys import VerifyingKey

from ..storage.background import Background
from .anonymous import Anonymous
from .authenticator import Authenticator
from .bootstraptokens import BootstrapTokens
from .certificates import ClientCertificates
from .identity import RequestAuthenticator, TokenAuthenticator
from .metrics import AuthenticationMetrics, TokenCacheMetrics
from .oidc.configuration import AuthenticationConfiguration, ConfigurationError, from_flags, parse
from .oidc.issuers import Issuers, Source
from .oidc.issuers import Surroundings as IssuersSurroundings
from .oidc.metrics import OidcMetrics
from .oidc.settings import ALGORITHMS
from .requestheader import RequestHeaders
from .serviceaccounts.bound import BoundTokens
from .serviceaccounts.legacy import LegacyTokens
from .serviceaccounts.names import LEGACY_ISSUER
from .serviceaccounts.objects import Read
from .serviceaccounts.uses import Amend, LastUse, TokenMetrics
from .serviceaccounts.verifying import Verifier
from .settings import AuthenticationSettings, RequestHeaderSettings
from .statictokens import StaticTokens, load_tokens
from .tokencache import TokenCache
from .webhooktokens import WebhookTokens


@dataclass(frozen=True)
class Surroundings:
    """What authenticators need of the server. `keys` verify service account tokens."""

    keys: Sequence[VerifyingKey]
    read: Read
    amend_secret: Amend
    clock: Clock
    entropy: Entropy
    metrics: CollectorRegistry


@dataclass(frozen=True)
class Authentication:
    """The chain, and those in it that ask others."""

    authenticator: Authenticator
    issuers: Issuers | None = None
    webhook: WebhookTokens | None = None

    def start(self, background: Background) -> None:
        """The work beside the requests."""
        if self.issuers is not None:
            background.start(self.issuers.run())

    async def close(self) -> None:
        """Once the work has ended."""
        if self.issuers is not None:
            await self.issuers.close()
        if self.webhook is not None:
            await self.webhook.close()


def build(
    settings: AuthenticationSettings,
    around: Surroundings,
    *,
    request_header: RequestHeaderSettings,
    client_ca_file: Path | None,
    token_auth_file: Path | None,
) -> Authentication:
    """Raises Fatal for files that cannot be read."""
    requests: list[RequestAuthenticator] = []
    _check_proxies(request_header, client_ca_file)
    if request_header.client_ca_file is not None:
        authorities = Authorities.load(request_header.client_ca_file, around.clock)
        requests.append(RequestHeaders(request_header, authorities))
    if client_ca_file is not None:
        requests.append(ClientCertificates(Authorities.load(client_ca_file, around.clock)))
    source = _source(settings)
    tokens = _local_tokens(settings, around, token_auth_file)
    caches = TokenCacheMetrics(around.metrics)
    issuers = _issuers(settings, source, around, caches)
    if issuers is not None:
        tokens.append(issuers)
    webhook = _webhook(settings, around)
    if webhook is not None:
        ttl = settings.webhook.cache_ttl
        tokens.append(TokenCache(webhook, around.clock, caches, success=ttl, failure=ttl))
    authenticator = Authenticator(
        requests,
        tokens,
        anonymous=_anonymous(settings, source),
        clock=around.clock,
        metrics=AuthenticationMetrics(around.metrics),
    )
    return Authentication(authenticator, issuers, webhook)


def _check_proxies(proxies: RequestHeaderSettings, client_ca_file: Path | None) -> None:
    """That no client can pass for a front proxy. Raises Fatal."""
    if client_ca_file is None or proxies.client_ca_file is None or proxies.allowed_names:
        return
    if overlap(client_ca_file, proxies.client_ca_file):
        raise Fatal(
            "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates;"
            " --requestheader-allowed-names must be specified to ensure regular client certificates cannot"
            " set authenticating proxy headers for arbitrary users"
        )


def _local_tokens(
    settings: AuthenticationSettings, around: Surroundings, token_auth_file: Path | None
) -> list[TokenAuthenticator]:
    accounts = settings.service_accounts
    audiences, keys = accounts.audiences, around.keys
    tokens: list[TokenAuthenticator] = []
    if token_auth_file is not None:
        tokens.append(StaticTokens(load_tokens(token_auth_file), audiences))
    metrics = TokenMetrics(around.metrics)
    if keys:
        uses = LastUse(around.amend_secret, around.clock)
        legacy = Verifier((LEGACY_ISSUER,), keys)
        tokens.append(LegacyTokens(legacy, audiences, around.read, uses, metrics))
    if keys and accounts.issuers:
        bound = Verifier(accounts.issuers, keys)
        tokens.append(BoundTokens(bound, audiences, around.read, around.clock, metrics))
    if settings.bootstrap_tokens:
        tokens.append(BootstrapTokens(audiences, around.read, around.clock))
    return tokens


def _source(settings: AuthenticationSettings) -> Source | None:
    """Which foreign issuers there are. Raises Fatal."""
    if settings.oidc is not None:
        made = from_flags(settings.oidc, settings.oidc.authorities())
        return Source(made, settings.oidc.signing_algs)
    if settings.config is None:
        return None
    try:
        data = settings.config.read_bytes()
        return Source(parse(data), ALGORITHMS, settings.config, data)
    except (OSError, ConfigurationError) as error:
        raise Fatal(f"cannot load the authentication configuration {settings.config}: {error}") from error


def _issuers(
    settings: AuthenticationSettings, source: Source | None, around: Surroundings, caches: TokenCacheMetrics
) -> Issuers | None:
    if source is None:
        return None
    accounts = settings.service_accounts
    metrics = OidcMetrics(around.metrics, server_identity(socket.gethostname()))
    return Issuers(
        source,
        IssuersSurroundings(accounts.audiences, accounts.issuers, around.clock, metrics, caches),
    )


def _webhook(settings: AuthenticationSettings, around: Surroundings) -> WebhookTokens | None:
    webhook = settings.webhook
    if webhook.config_file is None:
        return None
    audiences = settings.service_accounts.audiences
    return WebhookTokens.load(webhook.config_file, webhook.version, audiences, around.clock, around.entropy)


def _anonymous(settings: AuthenticationSettings, source: Source | None) -> Anonymous:
    """Raises Fatal where both a flag and the file say who is let in."""
    configuration = source.configuration if source is not None else AuthenticationConfiguration()
    if configuration.anonymous is None:
        return Anonymous(enabled=settings.anonymous is not False)
    if settings.anonymous is not None:
        raise Fatal(
            "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in"
            " authentication configuration file"
        )
    return configuration.anonymous.policy()


def server_identity(host: str) -> str:
    """The name by which API servers tell each other apart: upstream's, made from the machine's name."""
    text = base64.b32encode(sha256(host.encode()).digest()[:16]).decode()
    return f"apiserver-{text.rstrip('=').lower()}"
