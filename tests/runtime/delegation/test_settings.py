"""Flags of a port whose callers the API server judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.runtime.delegation.settings import DelegationSettings, add_flags, settle
from kplane.runtime.process import Fatal, FlagParser


def parse(*argv: str) -> DelegationSettings:
    parser = FlagParser("test", "")
    parser.add_argument("--other", default="")
    add_flags(parser, tolerate_lookup_failure=False)
    options = vars(parser.parse_args(argv))
    settings = settle(options)
    assert set(options) == {"other"}
    return settings


def test_defaults_are_upstreams() -> None:
    settings = parse()

    assert settings == DelegationSettings()
    assert settings.authorization_always_allow_paths == ("/healthz", "/readyz", "/livez")
    assert settings.authentication_token_webhook_cache_ttl == 10
    assert settings.authorization_webhook_cache_authorized_ttl == 10
    assert settings.authorization_webhook_cache_unauthorized_ttl == 10
    assert not settings.authentication_skip_lookup
    assert not settings.authentication_tolerate_lookup_failure


def test_flags_are_read() -> None:
    settings = parse(
        "--authentication-kubeconfig=/a", "--authorization-kubeconfig=/b", "--client-ca-file=/c",
        "--authentication-skip-lookup", "--authentication-tolerate-lookup-failure=true",
        "--authentication-token-webhook-cache-ttl=1m", "--authorization-webhook-cache-authorized-ttl=2s",
        "--authorization-webhook-cache-unauthorized-ttl=0",
        "--authorization-always-allow-paths=/healthz,metrics", "--authorization-always-allow-paths=/x*",
    )  # fmt: skip

    assert settings == DelegationSettings(
        authentication_kubeconfig=Path("/a"),
        authorization_kubeconfig=Path("/b"),
        client_ca_file=Path("/c"),
        authentication_skip_lookup=True,
        authentication_tolerate_lookup_failure=True,
        authentication_token_webhook_cache_ttl=60,
        authorization_webhook_cache_authorized_ttl=2,
        authorization_webhook_cache_unauthorized_ttl=0,
        authorization_always_allow_paths=("/healthz", "metrics", "/x*"),
    )


def test_no_path_at_all_may_be_open_and_an_empty_file_is_none() -> None:
    settings = parse("--authorization-always-allow-paths=", "--authentication-kubeconfig=")

    assert settings.authorization_always_allow_paths == ()
    assert settings.authentication_kubeconfig is None


@pytest.mark.parametrize("path", ["/a*b", "*x", "/a/*/b*"])
def test_stars_end_paths(path: str) -> None:
    with pytest.raises(Fatal, match="only trailing \\* allowed in"):
        parse(f"--authorization-always-allow-paths={path}")
