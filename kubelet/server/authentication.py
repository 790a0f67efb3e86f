"""How callers of the node server prove who they are.

Elsewhere: how proofs are judged (kplane.runtime.delegation).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AuthenticationSettings:
    """Upstream's defaults of a kubelet without a configuration file."""

    client_ca_file: Path | None = None
    anonymous: bool = True
    webhook: bool = False
    cache_ttl: float = 120.0
