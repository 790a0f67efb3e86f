"""AuthenticationConfigurations: what is accepted, how others are refused, and how a file is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.identity import Refused
from kplane.apiserver.auth.oidc.configuration import ConfigurationError, from_flags, parse
from kplane.apiserver.auth.oidc.issuers import POLL, UPDATE_TIMEOUT, Issuers, Source
from kplane.apiserver.auth.oidc.metrics import hashed
from kplane.apiserver.auth.oidc.settings import ALGORITHMS, OidcSettings
from kplane.apiserver.auth.oidc.validation import checked
from kplane.runtime import pki
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

from .issuer import DISCOVERY, IssuerServer, saying
from .test_oidc import OWN, around, until

ISSUER = {"url": "https://issuer.example", "audiences": ["kplane"]}
USERNAME = {"username": {"claim": "sub", "prefix": ""}}


def document(**fields: Any) -> bytes:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    return yaml.safe_dump(head | fields).encode()


def one(issuer: Mapping[str, Any] = ISSUER, mappings: Mapping[str, Any] = USERNAME, **more: Any) -> bytes:
    return document(jwt=[{"issuer": dict(issuer), "claimMappings": dict(mappings)} | more])


def fault(data: bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        checked(parse(data), (OWN,))
    return str(caught.value)


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_each_version_is_read(version: str) -> None:
    data = one().replace(b"config.k8s.io/v1\n", f"config.k8s.io/{version}\n".encode())

    (sound,) = checked(parse(data), (OWN,))

    assert sound.authenticator.issuer.audiences == ("kplane",)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(b"", "empty config data", id="empty"),
        pytest.param(b"a: b", "Object 'Kind' is missing", id="kind"),
        pytest.param(b"kind: AuthenticationConfiguration", "Object 'apiVersion' is missing", id="version"),
        pytest.param(
            b"kind: Pod\napiVersion: v1", 'no kind "Pod" is registered for version "v1"', id="another kind"
        ),
        pytest.param(
            one(surprise=1), 'strict decoding error: unknown field "jwt[0].surprise"', id="unknown field"
        ),
        pytest.param(document(jtw=[]), 'strict decoding error: unknown field "jtw"', id="misspelt"),
        pytest.param(one({"url": 7, "audiences": ["a"]}), "Expected `str`, got `int`", id="wrong kind"),
        pytest.param(document() + b"kind: Pod\n", 'key "kind" already set in map', id="repeated"),
        pytest.param(b"a: [", "yaml", id="no YAML"),
    ],
)
def test_what_cannot_be_read(data: bytes, text: str) -> None:
    assert text in fault(data)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"url": ""}, "jwt[0].issuer.url: Required value", id="none"),
        pytest.param(
            {"url": "http://issuer.example"},
            'jwt[0].issuer.url: Invalid value: "http://issuer.example": URL scheme must be https',
            id="scheme",
        ),
        pytest.param({"url": "https://a@b"}, "URL must not contain a username or password", id="user"),
        pytest.param({"url": "https://a?b"}, "URL must not contain a query", id="query"),
        pytest.param({"url": "https://a#b"}, "URL must not contain a fragment", id="fragment"),
        pytest.param({"url": "https://[a"}, "jwt[0].issuer.url: Invalid value", id="bad"),
        pytest.param({"url": OWN}, f"URL must not overlap with disallowed issuers: [{OWN}]", id="own"),
        pytest.param(
            {"discoveryURL": "https://issuer.example/"},
            "jwt[0].issuer.discoveryURL: Invalid value: "
            '"https://issuer.example/": discoveryURL must be different from URL',
            id="same discovery",
        ),
        pytest.param(
            {"audiences": []},
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
            id="no audience",
        ),
        pytest.param({"audiences": [""]}, "jwt[0].issuer.audiences[0]: Required value", id="empty audience"),
        pytest.param(
            {"audiences": ["a", "a"], "audienceMatchPolicy": "MatchAny"},
            'jwt[0].issuer.audiences[1]: Duplicate value: "a"',
            id="audience twice",
        ),
        pytest.param(
            {"audiences": ["a", "b"]},
            "jwt[0].issuer.audienceMatchPolicy: Invalid value: "
            '"": audienceMatchPolicy must be MatchAny for multiple audiences',
            id="policy for several",
        ),
        pytest.param(
            {"audienceMatchPolicy": "MatchAll"},
            "audienceMatchPolicy must be empty or MatchAny for single audience",
            id="policy for one",
        ),
        pytest.param(
            {"certificateAuthority": "nonsense"},
            'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain any valid'
            " RSA or ECDSA certificates",
            id="authority",
        ),
    ],
)
def test_issuers_that_are_refused(change: dict[str, Any], text: str) -> None:
    assert text in fault(one(ISSUER | change))


@pytest.mark.parametrize(
    ("mappings", "text"),
    [
        pytest.param(
            {}, "claimMappings.username: Required value: claim or expression is required", id="none"
        ),
        pytest.param(
            {"username": {"claim": "sub"}},
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It"
            " can be set to an empty string to disable prefixing",
            id="prefix",
        ),
        pytest.param(
            {"username": {"claim": "sub", "expression": "claims.sub"}},
            'jwt[0].claimMappings.username: Invalid value: "": claim and expression can\'t both be set',
            id="both",
        ),
        pytest.param(
            {"username": {"prefix": "a", "expression": "claims.sub"}},
            'username.prefix: Invalid value: "a": may not be specified when expression is set',
            id="prefix of expression",
        ),
        pytest.param(
            {"username": {"expression": "claim.sub"}},
            'username.expression: Invalid value: "claim.sub": compilation failed: ERROR: <input>:1:1:'
            " undeclared reference to 'claim' (in container '')",
            id="expression",
        ),
        pytest.param(
            {"username": {"expression": "claims.email"}},
            "claims.email_verified must be used in claimMappings.username.expression",
            id="email",
        ),
        pytest.param(
            USERNAME | {"uid": {"claim": "a", "expression": "claims.a"}},
            'jwt[0].claimMappings.uid: Invalid value: "": claim and expression can\'t both be set',
            id="uid",
        ),
        pytest.param(
            USERNAME | {"extra": [{"key": "foo", "valueExpression": "claims.a"}]},
            'extra[0].key: Invalid value: "foo": must be a domain-prefixed path (such as "acme.io/foo")',
            id="extra key",
        ),
        pytest.param(
            USERNAME | {"extra": [{"key": "a.io/Foo", "valueExpression": "claims.a"}]},
            'extra[0].key: Invalid value: "a.io/Foo": must be lowercase',
            id="extra case",
        ),
        pytest.param(
            USERNAME | {"extra": [{"key": "x.k8s.io/a", "valueExpression": "claims.a"}]},
            "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            id="extra reserved",
        ),
        pytest.param(
            USERNAME | {"extra": [{"key": "a.io/a", "valueExpression": "claims.a"}] * 2},
            'extra[1].key: Duplicate value: "a.io/a"',
            id="extra twice",
        ),
        pytest.param(
            USERNAME | {"extra": [{"key": "a.io/a"}]},
            "extra[0].valueExpression: Required value",
            id="extra value",
        ),
    ],
)
def test_mappings_that_are_refused(mappings: dict[str, Any], text: str) -> None:
    assert text in fault(one(mappings=mappings))


@pytest.mark.parametrize(
    "source",
    [
        "claims.email_verified ? claims.email : 'x'",
        "claims.?email_verified.orValue(true) ? claims.email : ''",
    ],
)
def test_an_email_may_be_the_name_where_it_is_verified(source: str) -> None:
    assert checked(parse(one(mappings={"username": {"expression": source}})), ())


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        pytest.param(
            [{}], "claimValidationRules[0]: Required value: claim or expression is required", id="none"
        ),
        pytest.param(
            [{"claim": "a", "expression": "true"}], "claim and expression can't both be set", id="both"
        ),
        pytest.param(
            [{"claim": "a", "message": "m"}],
            'message: Invalid value: "m": may not be specified when claim is set',
            id="message",
        ),
        pytest.param([{"claim": "a"}] * 2, 'claimValidationRules[1].claim: Duplicate value: "a"', id="twice"),
        pytest.param(
            [{"expression": "true", "requiredValue": "a"}],
            'requiredValue: Invalid value: "a": may not be specified when expression is set',
            id="value",
        ),
        pytest.param([{"expression": "true"}] * 2, "[1].expression: Duplicate value", id="expression twice"),
        pytest.param(
            [{"expression": "claims.a"}],
            'claimValidationRules[0].expression: Invalid value: "claims.a": must evaluate to bool',
            id="no condition",
        ),
    ],
)
def test_rules_about_claims_that_are_refused(rules: list[Any], text: str) -> None:
    assert text in fault(one(claimValidationRules=rules))


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        pytest.param([{}], "userValidationRules[0].expression: Required value", id="none"),
        pytest.param([{"expression": "user.name == ''"}], "undefined field 'name'", id="field"),
        pytest.param([{"expression": "true"}] * 2, "[1].expression: Duplicate value", id="twice"),
    ],
)
def test_rules_about_users_that_are_refused(rules: list[Any], text: str) -> None:
    assert text in fault(one(userValidationRules=rules))


def test_every_fault_is_told_at_once() -> None:
    entry = {"issuer": ISSUER, "claimMappings": USERNAME}
    data = document(jwt=[entry, entry], anonymous={"enabled": False, "conditions": [{"path": "/healthz"}]})

    assert fault(data) == (
        '[jwt[1].issuer.url: Duplicate value: "https://issuer.example", anonymous.conditions: Invalid value:'
        ' [{"Path":"/healthz"}]: enabled should be set to true when conditions are defined]'
    )
    assert fault(document(jwt=[entry] * 65)) == "jwt: Too many: 65: must have at most 64 items"


@pytest.mark.parametrize(
    ("flags", "prefix"),
    [
        ({}, "https://issuer.example#"),
        ({"username_prefix": "-"}, ""),
        ({"username_prefix": "a:"}, "a:"),
        ({"username_claim": "email"}, ""),
    ],
)
def test_names_are_prefixed_by_the_issuer_unless_flags_say_otherwise(
    flags: dict[str, str], prefix: str
) -> None:
    settings = OidcSettings(issuer_url=ISSUER["url"], client_id="kplane", **flags)  # type: ignore[arg-type]

    (entry,) = from_flags(settings, "").jwt

    assert entry.claim_mappings.username.prefix == prefix


def test_an_unsound_configuration_stops_the_start(clock: VirtualClock) -> None:
    with pytest.raises(Fatal, match=r"invalid authentication configuration: \[jwt"):
        Issuers(Source(parse(one({})), ALGORITHMS), around(clock, CollectorRegistry()))


# Following the file


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = tmp_path_factory.mktemp("issuers")
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    return keys


def naming(*issuers: IssuerServer, **more: Any) -> bytes:
    entries = [
        {
            "issuer": {"url": one.url, "audiences": ["kplane"], "certificateAuthority": one.ca},
            "claimMappings": USERNAME,
        }
        for one in issuers
    ]
    return document(jwt=entries, **more)


class Followed:
    """Issuers by a file."""

    def __init__(self, file: Path, clock: VirtualClock) -> None:
        data = file.read_bytes()
        self.registry = CollectorRegistry()
        source = Source(parse(data), ALGORITHMS, file, data)
        self.issuers = Issuers(source, around(clock, self.registry))
        self.chain = Authenticator([], [self.issuers])
        self.file = file
        self.clock = clock

    async def knows(self, token: str) -> bool:
        try:
            await self.chain.review(token, None)
        except Refused:
            return False
        return True

    def reloads(self, status: str) -> float:
        name = "apiserver_authentication_config_controller_automatic_reloads_total"
        labels = {"status": status, "apiserver_id_hash": hashed("me")}
        return self.registry.get_sample_value(name, labels) or 0

    async def change(self, data: bytes, status: str) -> None:
        """Write the file and wait for what becomes of it."""
        before = self.reloads(status)
        self.file.write_bytes(data)
        await self.clock.advance(POLL)
        await until(lambda: self.reloads(status) > before)


@asynccontextmanager
async def following(file: Path, clock: VirtualClock, data: bytes) -> AsyncIterator[Followed]:
    file.write_bytes(data)
    followed = Followed(file, clock)
    work = asyncio.create_task(followed.issuers.run())
    try:
        yield followed
    finally:
        work.cancel()
        await asyncio.wait([work])
        await followed.issuers.close()


@pytest.fixture
async def issuers(folder: Path, clock: VirtualClock) -> AsyncIterator[list[IssuerServer]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                IssuerServer(folder, clock, ec.generate_private_key(ec.SECP256R1()))
            )
            for _ in range(2)
        ]


async def test_a_changed_file_changes_whose_tokens_are_good(
    issuers: list[IssuerServer], tmp_path: Path, clock: VirtualClock
) -> None:
    first, second = issuers
    async with following(tmp_path / "auth.yaml", clock, document()) as followed:
        assert not await followed.knows(first.token())

        await followed.change(naming(first), "success")
        assert await followed.knows(first.token())
        assert not await followed.knows(second.token())

        await followed.change(naming(second), "success")
        assert await followed.knows(second.token())
        assert not await followed.knows(first.token(sub="bob"))

        name = "apiserver_authentication_config_controller_last_config_info"
        labels = {"apiserver_id_hash": hashed("me"), "hash": hashed(naming(second))}
        assert followed.registry.get_sample_value(name, labels) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<html>", id="garbage"),
        pytest.param(b"", id="empty"),
        pytest.param(one({}), id="unsound"),
        pytest.param(document(anonymous={"enabled": True}), id="anonymous"),
    ],
)
async def test_a_file_that_is_no_good_changes_nothing(
    issuers: list[IssuerServer], tmp_path: Path, clock: VirtualClock, data: bytes
) -> None:
    async with following(tmp_path / "auth.yaml", clock, document()) as followed:
        await followed.change(naming(issuers[0]), "success")

        await followed.change(data, "failure")

        assert await followed.knows(issuers[0].token())
        await clock.advance(POLL)
        assert followed.reloads("failure") == 1


async def test_an_issuer_that_cannot_be_found_changes_nothing_yet(
    issuers: list[IssuerServer], tmp_path: Path, clock: VirtualClock
) -> None:
    first, second = issuers
    async with following(tmp_path / "auth.yaml", clock, document()) as followed:
        await followed.change(naming(first), "success")
        second.answers[DISCOVERY] = saying("", 503)
        followed.file.write_bytes(naming(second))
        await clock.advance(POLL)
        await until(lambda: DISCOVERY in second.asked)

        await clock.advance(UPDATE_TIMEOUT)
        await until(lambda: followed.reloads("failure") == 1)
        assert await followed.knows(first.token())

        second.answers.clear()
        await clock.advance(POLL)
        await until(lambda: followed.reloads("success") == 2)
        assert await followed.knows(second.token())


async def test_a_file_that_is_gone_changes_nothing(
    issuers: list[IssuerServer], tmp_path: Path, clock: VirtualClock
) -> None:
    async with following(tmp_path / "auth.yaml", clock, document()) as followed:
        await followed.change(naming(issuers[0]), "success")

        followed.file.unlink()
        await clock.advance(POLL)

        assert followed.reloads("failure") == 1
        assert await followed.knows(issuers[0].token())
