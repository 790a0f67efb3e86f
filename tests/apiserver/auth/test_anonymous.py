"""Requests without credentials: who is let in, and how attempts are counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.errors import Unauthorized
from kplane.apiserver.auth.anonymous import NOBODY, Anonymous
from kplane.apiserver.auth.assembly import server_identity
from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.identity import Credentials
from kplane.apiserver.auth.metrics import AuthenticationMetrics, compressed
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.auth.statictokens import StaticTokens
from kplane.apiserver.auth.user import ANONYMOUS, User
from kplane.apiserver.config import ApiServerConfig, parse
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal

from ..conftest import Api

HEALTH = Anonymous(paths=frozenset({"/livez", "/readyz"}))


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_path_that_is_for_anybody_is_served(path: str) -> None:
    assert await Authenticator([], [], anonymous=HEALTH).authenticate(Credentials(path=path)) is ANONYMOUS


@pytest.mark.parametrize("path", ["/", "/livez/", "/livez/ping", "/LIVEZ", "/api", ""])
async def test_every_other_path_is_not(path: str) -> None:
    with pytest.raises(Unauthorized):
        await Authenticator([], [], anonymous=HEALTH).authenticate(Credentials(path=path))


async def test_bad_credentials_are_refused_where_none_would_do() -> None:
    bad = Credentials(headers=[(b"authorization", b"Bearer nonsense")], path="/livez")

    with pytest.raises(Unauthorized):
        await Authenticator([], [], anonymous=HEALTH).authenticate(bad)


def written(folder: Path, anonymous: str) -> Path:
    file = folder / "auth.yaml"
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
    file.write_text(f"{head}anonymous: {anonymous}\n")
    return file


async def test_the_file_can_shut_strangers_out(config: ApiServerConfig, tmp_path: Path) -> None:
    settings = AuthenticationSettings(config=written(tmp_path, "{enabled: false}"))
    async with ApiServer(replace(config, authentication=settings)) as server:
        assert (await Api(server.app, "")("GET", "/readyz")).code == 401
        assert (await Api(server.app)("GET", "/readyz")).code == 200


async def test_the_file_can_let_strangers_in_by_path(config: ApiServerConfig, tmp_path: Path) -> None:
    conditions = "{enabled: true, conditions: [{path: /livez}]}"
    settings = AuthenticationSettings(config=written(tmp_path, conditions))
    async with ApiServer(replace(config, authentication=settings)) as server:
        codes = {path: (await Api(server.app, "")("GET", path)).code for path in ("/livez", "/readyz")}

    assert codes == {"/livez": 200, "/readyz": 401}


async def test_the_file_can_let_strangers_in(config: ApiServerConfig, tmp_path: Path) -> None:
    settings = AuthenticationSettings(config=written(tmp_path, "{enabled: true}"))
    async with ApiServer(replace(config, authentication=settings)) as server:
        assert (await Api(server.app, "")("GET", "/readyz")).code == 200


async def test_conditions_shut_strangers_out_elsewhere(config: ApiServerConfig, tmp_path: Path) -> None:
    file = written(tmp_path, "{enabled: true, conditions: [{path: /livez}]}")
    settings = AuthenticationSettings(config=file)
    async with ApiServer(replace(config, authentication=settings)) as server:
        assert (await Api(server.app, "")("GET", "/readyz")).code == 401


@pytest.mark.parametrize("flag", [True, False])
async def test_flag_and_file_must_not_both_say_it(
    config: ApiServerConfig, tmp_path: Path, flag: bool
) -> None:
    settings = AuthenticationSettings(config=written(tmp_path, "{enabled: true}"), anonymous=flag)

    with pytest.raises(Fatal, match="--anonymous-auth flag cannot be set when anonymous field is configured"):
        async with ApiServer(replace(config, authentication=settings)):
            pass


# Flags


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--oidc-issuer-url=https://a"], "oidc-issuer-url and oidc-client-id must be specified together"),
        (
            ["--oidc-issuer-url=https://a", "--oidc-client-id=b", "--oidc-signing-algs=HS256"],
            'oidc: unsupported signing alg: "HS256"',
        ),
        (["--oidc-required-claim=a"], "malformed pair, expect string=string"),
        (["--authentication-token-webhook-version=v3"], "unsupported authentication webhook version"),
        (
            ["--authentication-config=FILE", "--oidc-issuer-url=https://a"],
            "authentication-config file and oidc-* flags are mutually exclusive",
        ),
    ],
)
def test_flags_that_contradict_each_other(tmp_path: Path, flags: list[str], text: str) -> None:
    file = str(written(tmp_path, "{enabled: true}"))
    given = [flag.replace("FILE", file) for flag in flags]

    with pytest.raises(Fatal) as caught:
        parse([f"--storage-dir={tmp_path}", *given])

    assert text in str(caught.value)


def test_flags_of_issuers_and_webhooks_are_read(tmp_path: Path) -> None:
    file = written(tmp_path, "{enabled: true}")
    found = parse(
        [
            f"--storage-dir={tmp_path}", "--oidc-issuer-url=https://a", "--oidc-client-id=b",
            "--oidc-username-claim=email", "--oidc-username-prefix=-", "--oidc-groups-claim=roles",
            "--oidc-groups-prefix=g:", "--oidc-required-claim=hd=x=y", "--oidc-required-claim=a=b",
            "--oidc-signing-algs=RS256,ES256", f"--oidc-ca-file={file}",
            f"--authentication-token-webhook-config-file={file}",
            "--authentication-token-webhook-version=v1", "--authentication-token-webhook-cache-ttl=1m",
        ]
    ).authentication  # fmt: skip

    assert found.oidc is not None
    assert found.oidc.required_claims == (("hd", "x=y"), ("a", "b"))
    assert found.oidc.signing_algs == ("RS256", "ES256")
    assert (found.webhook.config_file, found.webhook.version) == (file, "v1")
    assert found.webhook.cache_ttl == 60


# Metrics


async def test_attempts_are_counted_by_their_result() -> None:
    registry = CollectorRegistry()
    chain = Authenticator(
        [],
        [StaticTokens({"good": User("admin"), "mail": User("ann@example.com")})],
        anonymous=NOBODY,
        metrics=AuthenticationMetrics(registry),
    )
    for header in (b"Bearer good", b"Bearer mail", b"Bearer bad", b""):
        try:
            await chain.authenticate(Credentials(headers=[(b"authorization", header)]))
        except Unauthorized:
            continue

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    counts = [value("authentication_attempts", result=name) for name in ("success", "failure", "error")]
    assert counts == [2, 1, 1]
    assert value("authentication_duration_seconds_count", result="success") == 2
    assert value("authenticated_user_requests", username="admin") == 1
    assert value("authenticated_user_requests", username="email_id") == 1


@pytest.mark.parametrize(
    ("name", "label"),
    [("kubelet", "kubelet"), ("a@b", "email_id"), ("system:node:n1", "other"), ("", "other")],
)
def test_users_are_counted_in_few_groups(name: str, label: str) -> None:
    assert compressed(name) == label


def test_servers_are_told_apart_by_their_machines() -> None:
    names = {server_identity(host) for host in ("a", "b")}

    assert len(names) == 2
    assert all(name.startswith("apiserver-") and len(name) == 36 for name in names)
