"""The flags of authentication, under upstream's names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .oidc.settings import OidcSettings
from .serviceaccounts.settings import ServiceAccountSettings
from .settings import AuthenticationSettings, TokenWebhookSettings

PREFIX = "auth."
"""Before the names under which the flags' values are kept apart from the others'."""

_ACCOUNTS = f"{PREFIX}account."
_WEBHOOK = f"{PREFIX}webhook."
_OIDC = f"{PREFIX}oidc."


def add_flags(
    parser: argparse.ArgumentParser, *, file: Callable[[str], Path], seconds: Callable[[str], float]
) -> None:
    def flag(name: str, target: str, kind: Callable[[str], object], text: str, **more: Any) -> None:
        parser.add_argument(f"--{name}", dest=target, type=kind, default=argparse.SUPPRESS, help=text, **more)

    repeated = {"action": "append"}
    listed = {"action": "extend"}
    switch = {"nargs": "?", "const": True}
    account = "service-account-{}".format
    flag(
        account("issuer"), f"{_ACCOUNTS}issuers", str, "issuer of tokens; repeat for former ones", **repeated
    )
    flag(
        account("key-file"), f"{_ACCOUNTS}key_files", file, "keys that verify tokens; repeatable", **repeated
    )
    flag(account("signing-key-file"), f"{_ACCOUNTS}signing_key_file", file, "private key that signs tokens")
    flag(
        account("max-token-expiration"),
        f"{_ACCOUNTS}max_token_expiration",
        seconds,
        "longest life of a token",
    )
    flag(
        account("extend-token-expiration"), f"{_ACCOUNTS}extend_token_expiration", boolean,
        "let the tokens of Pods live a year, and tell which are old", **switch,
    )  # fmt: skip
    flag(account("jwks-uri"), f"{_ACCOUNTS}jwks_uri", str, "where the issuer's keys are published")
    flag("api-audiences", f"{_ACCOUNTS}api_audiences", words, "audiences of this server's tokens", **listed)
    flag("anonymous-auth", f"{PREFIX}anonymous", boolean, "let in requests without credentials", **switch)
    flag("authentication-config", f"{PREFIX}config", file, "AuthenticationConfiguration; followed")
    webhook = "authentication-token-webhook-{}".format
    flag(webhook("config-file"), f"{_WEBHOOK}config_file", file, "kubeconfig of a server that knows tokens")
    flag(webhook("version"), f"{_WEBHOOK}version", str, "version of its TokenReviews: v1 or v1beta1")
    flag(webhook("cache-ttl"), f"{_WEBHOOK}cache_ttl", seconds, "how long its answers are kept, such as 2m0s")
    oidc = "oidc-{}".format
    flag(oidc("issuer-url"), f"{_OIDC}issuer_url", str, "issuer whose tokens are accepted; https")
    flag(oidc("client-id"), f"{_OIDC}client_id", str, "audience that its tokens must have")
    flag(oidc("ca-file"), f"{_OIDC}ca_file", file, "authorities of its certificate; else the system's")
    flag(oidc("username-claim"), f"{_OIDC}username_claim", str, "claim with the user's name: sub")
    flag(oidc("username-prefix"), f"{_OIDC}username_prefix", str, "what goes before it; -: nothing")
    flag(oidc("groups-claim"), f"{_OIDC}groups_claim", str, "claim with the user's groups")
    flag(oidc("groups-prefix"), f"{_OIDC}groups_prefix", str, "what goes before each of them")
    flag(oidc("signing-algs"), f"{_OIDC}signing_algs", words, "how its tokens may be signed: RS256", **listed)
    flag(
        oidc("required-claim"), f"{_OIDC}required_claims", pair,
        "claim=value that its tokens must have; repeatable", **repeated,
    )  # fmt: skip
    flag(
        "enable-bootstrap-token-auth", f"{PREFIX}bootstrap_tokens", boolean,
        "accept tokens of Secrets in kube-system for joining nodes", **switch,
    )  # fmt: skip


def settings(args: Mapping[str, Any]) -> AuthenticationSettings:
    """From the parsed flags. Raises Fatal."""
    found = AuthenticationSettings(
        service_accounts=ServiceAccountSettings(**_under(_ACCOUNTS, args)),
        webhook=TokenWebhookSettings(**_under(_WEBHOOK, args)),
        oidc=OidcSettings(**said) if (said := _under(_OIDC, args)) else None,
        **{name: value for name, value in _under(PREFIX, args).items() if "." not in name},
    )
    found.check()
    return found


def _under(prefix: str, args: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix(prefix): value for name, value in args.items() if name.startswith(prefix)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def words(text: str) -> list[str]:
    """Separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pair(text: str) -> tuple[str, str]:
    """`key=value`."""
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"malformed pair, expect string=string: {text!r}")
    return key.strip(), value.strip()


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1", "t")
