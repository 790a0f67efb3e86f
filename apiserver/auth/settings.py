"""What the API server's flags say about authentication."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kplane.runtime.process import Fatal

from .oidc.settings import OidcSettings
from .serviceaccounts.settings import ServiceAccountSettings


@dataclass(frozen=True, kw_only=True)
class RequestHeaderSettings:
    """Trust in the headers of a front proxy. Without `client_ca_file`: none."""

    client_ca_file: Path | None = None
    allowed_names: tuple[str, ...] = ()
    """Common names of the proxy's certificate; empty: any that its authority has issued."""
    username_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_headers_prefix: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenWebhookSettings:
    """`config_file`: a kubeconfig; without one nobody is asked. `cache_ttl`: seconds."""

    config_file: Path | None = None
    version: str = "v1beta1"
    cache_ttl: float = 120.0

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        if self.version not in ("v1", "v1beta1"):
            raise Fatal(
                f'unsupported authentication webhook version "{self.version}", supported versions are "v1",'
                ' "v1beta1"'
            )


@dataclass(frozen=True, kw_only=True)
class AuthenticationSettings:
    service_accounts: ServiceAccountSettings = field(default_factory=ServiceAccountSettings)
    anonymous: bool | None = None
    """Whether requests without credentials are let in; None: nothing was said, so they are, unless the file
    says otherwise."""
    bootstrap_tokens: bool = False
    oidc: OidcSettings | None = None
    config: Path | None = None
    """An AuthenticationConfiguration."""
    webhook: TokenWebhookSettings = field(default_factory=TokenWebhookSettings)

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        self.service_accounts.check()
        self.webhook.check()
        if self.oidc is None:
            return
        if self.config is not None:
            raise Fatal("authentication-config file and oidc-* flags are mutually exclusive")
        self.oidc.check()
