"""The chain of authenticators that the settings name, in upstream's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kplane.api.clock import Clock

from .authenticator import Authenticator
from .bootstraptokens import BootstrapTokens
from .certificates import Authorities, ClientCertificates
from .identity import RequestAuthenticator, TokenAuthenticator
from .requestheader import RequestHeaders
from .serviceaccounts.bound import BoundTokens
from .serviceaccounts.keys import VerifyingKey
from .serviceaccounts.legacy import LegacyTokens
from .serviceaccounts.names import LEGACY_ISSUER
from .serviceaccounts.objects import Read
from .serviceaccounts.verifying import Verifier
from .settings import AuthenticationSettings, RequestHeaderSettings
from .statictokens import StaticTokens, load_tokens


def build(
    settings: AuthenticationSettings,
    *,
    request_header: RequestHeaderSettings,
    client_ca_file: Path | None,
    token_auth_file: Path | None,
    keys: Sequence[VerifyingKey],
    read: Read,
    clock: Clock,
) -> Authenticator:
    """`keys` verify service account tokens. Raises Fatal for files that cannot be read."""
    requests: list[RequestAuthenticator] = []
    if request_header.client_ca_file is not None:
        authorities = Authorities.load(request_header.client_ca_file, clock)
        requests.append(RequestHeaders(request_header, authorities))
    if client_ca_file is not None:
        requests.append(ClientCertificates(Authorities.load(client_ca_file, clock)))
    tokens = _tokens(settings, token_auth_file, keys, read, clock)
    return Authenticator(requests, tokens, anonymous=settings.anonymous)


def _tokens(
    settings: AuthenticationSettings,
    token_auth_file: Path | None,
    keys: Sequence[VerifyingKey],
    read: Read,
    clock: Clock,
) -> list[TokenAuthenticator]:
    accounts = settings.service_accounts
    audiences = accounts.audiences
    tokens: list[TokenAuthenticator] = []
    if token_auth_file is not None:
        tokens.append(StaticTokens(load_tokens(token_auth_file), audiences))
    if keys:
        tokens.append(LegacyTokens(Verifier((LEGACY_ISSUER,), keys), audiences, read))
    if keys and accounts.issuers:
        tokens.append(BoundTokens(Verifier(accounts.issuers, keys), audiences, read, clock))
    if settings.bootstrap_tokens:
        tokens.append(BootstrapTokens(audiences, read, clock))
    return tokens
