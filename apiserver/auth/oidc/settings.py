"""What the flags `--oidc-…` say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kplane.runtime.process import Fatal

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
"""Every signature that an issuer may be trusted to make. None of them can be made with a public key."""


@dataclass(frozen=True, kw_only=True)
class OidcSettings:
    issuer_url: str = ""
    client_id: str = ""
    ca_file: Path | None = None
    username_claim: str = "sub"
    username_prefix: str = ""
    """Empty: the issuer, but for `email`; `-`: none."""
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: tuple[tuple[str, str], ...] = ()
    signing_algs: tuple[str, ...] = ("RS256",)

    def check(self) -> None:
        """Raises Fatal with the flag to change."""
        if not self.issuer_url or not self.client_id:
            raise Fatal(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
            )
        for name in self.signing_algs:
            if name not in ALGORITHMS:
                raise Fatal(f'oidc: unsupported signing alg: "{name}"')

    def authorities(self) -> str:
        """What the CA file holds; empty without one. Raises Fatal."""
        if self.ca_file is None:
            return ""
        try:
            return self.ca_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"cannot read the authorities in {self.ca_file}: {error}") from error
