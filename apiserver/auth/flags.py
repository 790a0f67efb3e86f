"""The flags of authentication, under upstream's names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .serviceaccounts.settings import ServiceAccountSettings
from .settings import AuthenticationSettings

PREFIX = "auth."
"""Before the names under which the flags' values are kept apart from the others'."""

_ACCOUNTS = f"{PREFIX}account."


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
    flag(
        "enable-bootstrap-token-auth", f"{PREFIX}bootstrap_tokens", boolean,
        "accept tokens of Secrets in kube-system for joining nodes", **switch,
    )  # fmt: skip


def settings(args: Mapping[str, Any]) -> AuthenticationSettings:
    """From the parsed flags. Raises Fatal."""
    found = AuthenticationSettings(
        service_accounts=ServiceAccountSettings(**_under(_ACCOUNTS, args)),
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


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "t", "f"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1", "t")
