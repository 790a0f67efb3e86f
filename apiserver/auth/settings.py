"""What the API server's flags say about authentication."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
class AuthenticationSettings:
    service_accounts: ServiceAccountSettings = field(default_factory=ServiceAccountSettings)
    anonymous: bool = True
    bootstrap_tokens: bool = False

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        self.service_accounts.check()
