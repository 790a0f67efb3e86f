"""What the API server's flags say about service account tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kplane.runtime.process import Fatal

from ..identity import Audiences

MIN_EXPIRATION = 3600
MAX_EXPIRATION = 1 << 32


@dataclass(frozen=True, kw_only=True)
class ServiceAccountSettings:
    """`key_files` verify; `signing_key_file` signs (and verifies, where there are no key files)."""

    issuers: tuple[str, ...] = ()
    key_files: tuple[Path, ...] = ()
    signing_key_file: Path | None = None
    api_audiences: Audiences = ()
    max_token_expiration: float = 0
    """Seconds; 0: no limit but the API's."""
    extend_token_expiration: bool = True
    jwks_uri: str = ""

    @property
    def audiences(self) -> Audiences:
        """The API server's own: without any named, its issuers."""
        return self.api_audiences or self.issuers

    @property
    def verifying_files(self) -> tuple[Path, ...]:
        if self.key_files or self.signing_key_file is None:
            return self.key_files
        return (self.signing_key_file,)

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        if self.signing_key_file is not None and not self.issuers:
            raise Fatal("--service-account-signing-key-file needs --service-account-issuer: pass both")
        if len(set(self.issuers)) != len(self.issuers):
            raise Fatal("--service-account-issuer names an issuer twice")
        for issuer in self.issuers:
            _check_issuer(issuer)
        if self.max_token_expiration and not MIN_EXPIRATION <= self.max_token_expiration <= MAX_EXPIRATION:
            raise Fatal("--service-account-max-token-expiration must be between 1 hour and 2^32 seconds")
        if self.jwks_uri and urlsplit(self.jwks_uri).scheme != "https":
            raise Fatal("--service-account-jwks-uri must be an https address")


def _check_issuer(issuer: str) -> None:
    if not issuer:
        raise Fatal("--service-account-issuer must not be empty")
    if ":" in issuer:
        try:
            urlsplit(issuer)
        except ValueError:
            raise Fatal("--service-account-issuer contained a ':' but was not a valid URL") from None
