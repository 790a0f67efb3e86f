"""Flags of a port whose callers the API server judges, under upstream's names.

Source: apiserver `pkg/server/options` (delegating authentication and authorization).
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kplane.runtime.process import Fatal, flag_bool, flag_duration

OPEN_PATHS = ("/healthz", "/readyz", "/livez")
LIFETIME = 10.0
"""Seconds that an answer of the API server is kept."""

_PREFIXES = ("authentication_", "authorization_", "client_ca_file")


@dataclass(frozen=True)
class DelegationSettings:
    """Without a kubeconfig, the Pod's service account asks the API server, and where there is none, nobody
    does: then there are no tokens, and no rights but those of system:masters."""

    authentication_kubeconfig: Path | None = None
    authentication_skip_lookup: bool = False
    """Whether the cluster is not asked for the clients' authority that no flag names."""
    authentication_tolerate_lookup_failure: bool = False
    authentication_token_webhook_cache_ttl: float = LIFETIME
    authorization_kubeconfig: Path | None = None
    authorization_always_allow_paths: Sequence[str] = OPEN_PATHS
    authorization_webhook_cache_authorized_ttl: float = LIFETIME
    authorization_webhook_cache_unauthorized_ttl: float = LIFETIME
    client_ca_file: Path | None = None


def add_flags(parser: ArgumentParser, *, tolerate_lookup_failure: bool) -> None:
    add = parser.add_argument
    add("--authentication-kubeconfig", type=_file, help="whose rights are used to ask who callers are")
    add(
        "--authentication-skip-lookup", type=flag_bool, nargs="?", const=True, default=False,
        help="do not ask the cluster for the authority of clients where --client-ca-file is missing",
    )  # fmt: skip
    add(
        "--authentication-tolerate-lookup-failure", type=flag_bool, nargs="?", const=True,
        default=tolerate_lookup_failure, help="start also if the cluster cannot be asked for it",
    )  # fmt: skip
    for what, text in (
        ("authentication-token-webhook-cache-ttl", "how long verdicts on tokens are kept"),
        ("authorization-webhook-cache-authorized-ttl", "how long decisions to allow are kept"),
        ("authorization-webhook-cache-unauthorized-ttl", "how long other decisions are kept"),
    ):
        add(f"--{what}", type=flag_duration, default=LIFETIME, help=text)
    add("--authorization-kubeconfig", type=_file, help="whose rights are used to ask what callers may do")
    add("--authorization-always-allow-paths", action="append", help="paths, or prefixes with *, open to all")
    add("--client-ca-file", type=_file, help="authority of callers with certificates")


def settle(options: dict[str, Any]) -> DelegationSettings:
    """Take these flags out of `options`. Raises Fatal for what makes no sense."""
    ours = {name: options.pop(name) for name in [*options] if name.startswith(_PREFIXES)}
    given = ours.pop("authorization_always_allow_paths")
    paths = OPEN_PATHS if given is None else tuple(path for text in given for path in _listed(text))
    for path in paths:
        if "*" in path[:-1]:
            raise Fatal(f'only trailing * allowed in "{path.removeprefix("/")}"')
    return DelegationSettings(**ours, authorization_always_allow_paths=paths)


def _listed(text: str) -> Sequence[str]:
    return text.split(",") if text else ()


def _file(text: str) -> Path | None:
    """An empty text is no file, as in upstream's flags."""
    return Path(text) if text else None
