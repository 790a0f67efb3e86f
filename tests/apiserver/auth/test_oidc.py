"""Tokens of foreign issuers: who they are about, and which are refused."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import CollectorRegistry

from kplane.api.clock import SystemClock
from kplane.apiserver.auth.authenticator import Authenticator
from kplane.apiserver.auth.identity import Refused
from kplane.apiserver.auth.metrics import TokenCacheMetrics
from kplane.apiserver.auth.oidc.configuration import (
    AuthenticationConfiguration,
    ClaimMappings,
    ClaimOrExpression,
    ClaimValidationRule,
    ExtraMapping,
    Issuer,
    JwtAuthenticator,
    PrefixedClaimOrExpression,
    UserValidationRule,
)
from kplane.apiserver.auth.oidc.issuers import Issuers, Source, Surroundings
from kplane.apiserver.auth.oidc.keys import KeySet
from kplane.apiserver.auth.oidc.metrics import OidcMetrics
from kplane.apiserver.auth.oidc.settings import ALGORITHMS, OidcSettings
from kplane.apiserver.auth.oidc.verifying import Verifier
from kplane.apiserver.auth.remote import Answer
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.auth.user import User
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.runtime import pki
from kplane.testing.clock import VirtualClock

from ..conftest import Api
from .issuer import AUDIENCE, DISCOVERY, KEYS, IssuerServer, encoded, jwk, saying, waiting

SUBJECT = ClaimMappings(username=PrefixedClaimOrExpression("sub", "oidc:"))
WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
OWN = "https://kubernetes.default.svc"


class Login:
    """Asks the chain of authenticators whose a token is."""

    def __init__(self, issuers: Issuers, registry: CollectorRegistry) -> None:
        self.chain = Authenticator([], [issuers])
        self.registry = registry

    async def __call__(self, token: str) -> User:
        return (await self.chain.review(token, None)).user

    async def fault(self, token: str) -> str:
        with pytest.raises(Refused) as caught:
            await self(token)
        assert token not in str(caught.value)
        return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = tmp_path_factory.mktemp("issuer")
    pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    return keys


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def issuer(folder: Path, clock: VirtualClock) -> AsyncIterator[IssuerServer]:
    async with IssuerServer(folder, clock, ec.generate_private_key(ec.SECP256R1())) as server:
        yield server


def rules(issuer: IssuerServer, mappings: ClaimMappings = SUBJECT, **more: Any) -> JwtAuthenticator:
    said = Issuer(url=issuer.url, audiences=(AUDIENCE,), certificate_authority=issuer.ca)
    return JwtAuthenticator(issuer=said, claim_mappings=mappings, **more)


async def until(condition: Callable[[], bool]) -> None:
    """Let real input and output take place."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def around(clock: VirtualClock, registry: CollectorRegistry) -> Surroundings:
    return Surroundings((OWN,), (OWN,), clock, OidcMetrics(registry, "me"), TokenCacheMetrics(registry))


@asynccontextmanager
async def login_by(
    clock: VirtualClock, *jwt: JwtAuthenticator, algorithms: tuple[str, ...] = ALGORITHMS, found: bool = True
) -> AsyncIterator[Login]:
    registry = CollectorRegistry()
    issuers = Issuers(Source(AuthenticationConfiguration(jwt=jwt), algorithms), around(clock, registry))
    work = asyncio.create_task(issuers.run())
    if found:
        await until(work.done)
    try:
        yield Login(issuers, registry)
    finally:
        work.cancel()
        await asyncio.wait([work])
        await issuers.close()


@pytest.fixture
async def login(issuer: IssuerServer, clock: VirtualClock) -> AsyncIterator[Login]:
    async with login_by(clock, rules(issuer)) as made:
        yield made


async def test_a_good_token_names_its_user(login: Login, issuer: IssuerServer) -> None:
    assert await login(issuer.token()) == User("oidc:ann", groups=("system:authenticated",))


@pytest.mark.slow
async def test_rsa_signatures_are_known_as_well(folder: Path, clock: VirtualClock) -> None:
    key = rsa.generate_private_key(65537, 2048)
    async with IssuerServer(folder, clock, key, "RS256") as issuer, login_by(clock, rules(issuer)) as login:
        assert (await login(issuer.token())).name == "oidc:ann"
        issuer.algorithm = "PS512"
        assert (await login(issuer.token())).name == "oidc:ann"


async def test_a_token_of_nobody_that_is_known_is_left_to_others(login: Login, issuer: IssuerServer) -> None:
    assert await login.fault(issuer.token(iss="https://elsewhere")) == "invalid bearer token"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(
            {"exp": 1}, "token is expired (Token Expiry: 1970-01-01 00:00:01 +0000 UTC)", id="expired"
        ),
        pytest.param({"exp": None}, "token is expired", id="never expires"),
        pytest.param({"exp": "soon"}, "failed to unmarshal claims", id="no time"),
        pytest.param({"nbf": 2**33}, "before the nbf (not before) time", id="not yet valid"),
        pytest.param({"aud": "other"}, f'expected audience in ["{AUDIENCE}"] got ["other"]', id="audience"),
        pytest.param({"aud": None}, "expected audience", id="no audience"),
        pytest.param({"sub": None}, 'parse username claims "sub": claim not present', id="nobody"),
        pytest.param({"sub": 7}, "cannot unmarshal number into Go value of type string", id="number"),
    ],
)
async def test_what_a_signed_token_says_can_make_it_bad(
    login: Login, issuer: IssuerServer, changes: dict[str, Any], text: str
) -> None:
    assert text in await login.fault(issuer.token(**changes))


async def test_a_token_is_good_to_its_last_second_and_a_little_early(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    now = clock.now().timestamp()
    assert await login(issuer.token(nbf=now + 59))
    assert "before the nbf" in await login.fault(issuer.token(nbf=now + 61))
    token = issuer.token(exp=now + 100)

    await clock.advance(100)
    assert await login(token)
    await clock.advance(11)
    assert "expired" in await login.fault(token)


async def test_one_of_several_audiences_is_enough(login: Login, issuer: IssuerServer) -> None:
    assert await login(issuer.token(aud=["other", AUDIENCE]))


async def test_an_unsigned_token_is_refused(login: Login, issuer: IssuerServer) -> None:
    for algorithm in ("none", "None", ""):
        token = f"{encoded({'alg': algorithm, 'kid': 'k1'})}.{encoded(issuer.claims())}."
        assert "unsupported algorithm" in await login.fault(token)


async def test_the_public_key_is_no_password(login: Login, issuer: IssuerServer) -> None:
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(issuer.claims())}"
    mark = encoded(hmac.digest(public, signed.encode(), "sha256"))

    assert "unsupported algorithm" in await login.fault(f"{signed}.{mark}")


async def test_a_password_among_the_keys_is_not_used(login: Login, issuer: IssuerServer) -> None:
    issuer.keys = [{"kty": "oct", "k": encoded(b"password"), "kid": "k1", "alg": "HS256"}]
    signed = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(issuer.claims())}"
    mark = encoded(hmac.digest(b"password", signed.encode(), "sha256"))

    assert "unsupported algorithm" in await login.fault(f"{signed}.{mark}")


async def test_a_key_signs_with_its_own_algorithm_alone(issuer: IssuerServer, clock: VirtualClock) -> None:
    issuer.key = ec.generate_private_key(ec.SECP384R1())
    issuer.keys = [jwk(issuer.key)]
    async with login_by(clock, rules(issuer)) as login:
        issuer.algorithm = "ES384"
        good = issuer.token()
        forged = f"{encoded({'alg': 'ES256', 'kid': 'k1'})}.{'.'.join(good.split('.')[1:])}"

        assert "failed to verify" in await login.fault(forged)
        assert await login(good)


async def test_only_permitted_algorithms_are_accepted(issuer: IssuerServer, clock: VirtualClock) -> None:
    async with login_by(clock, rules(issuer), algorithms=("RS256",)) as login:
        assert 'expected ["RS256"] got "ES256"' in await login.fault(issuer.token())


async def test_a_strangers_signature_is_refused(login: Login, issuer: IssuerServer) -> None:
    issuer.key = ec.generate_private_key(ec.SECP256R1())

    fault = await login.fault(issuer.token())

    assert "oidc: verify token: failed to verify signature: failed to verify id token signature" in fault


async def test_changed_claims_are_refused(login: Login, issuer: IssuerServer) -> None:
    head, _, mark = issuer.token().split(".")

    assert "failed to verify" in await login.fault(f"{head}.{encoded(issuer.claims(sub='root'))}.{mark}")


@pytest.mark.parametrize(
    "kid", ["../keys", "/etc/passwd", "k1\x00", "' or 1=1", "https://evil/keys", "é" * 99]
)
async def test_the_key_that_a_token_names_is_only_looked_for_among_the_issuers(
    login: Login, issuer: IssuerServer, kid: str
) -> None:
    payload = json.dumps(issuer.claims()).encode()

    assert "failed to verify" in await login.fault(issuer.signed(payload, kid=kid))
    assert set(issuer.asked) == {DISCOVERY, KEYS}


@pytest.mark.parametrize("extra", [{"jku": "https://evil/keys"}, {"x5u": "https://evil"}, {"jwk": {}}, {}])
async def test_a_key_that_a_token_brings_along_is_not_used(
    login: Login, issuer: IssuerServer, extra: dict[str, Any]
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    issuer.key = stranger
    headers = {"jwk": jwk(stranger)} | extra

    assert "failed to verify" in await login.fault(
        issuer.signed(json.dumps(issuer.claims()).encode(), **headers)
    )


async def test_of_a_repeated_claim_the_last_counts_everywhere(login: Login, issuer: IssuerServer) -> None:
    claims = json.dumps(issuer.claims())
    good = f'{{"sub":"eve","aud":"other","exp":1,{claims[1:]}'
    bad = f'{claims[:-1]},"aud":"other"}}'
    foreign = f'{claims[:-1]},"iss":"https://elsewhere"}}'

    assert (await login(issuer.signed(good.encode()))).name == "oidc:ann"
    assert "expected audience" in await login.fault(issuer.signed(bad.encode()))
    assert await login.fault(issuer.signed(foreign.encode())) == "invalid bearer token"


async def test_a_huge_token_is_not_even_read(login: Login, issuer: IssuerServer) -> None:
    assert await login.fault(issuer.token(padding="x" * 64 * 1024)) == "invalid bearer token"
    assert KEYS not in issuer.asked


@pytest.mark.parametrize("token", ["a.b.c", "..", "{}", "e30.e30.e30", "é.é.é", "[" * 9000 + ".e30.x", "a.b"])
async def test_garbage_is_nobodys(login: Login, token: str) -> None:
    assert await login.fault(token) == "invalid bearer token"


@pytest.mark.parametrize("head", ["", "!", encoded(b"[]"), encoded(b'{"alg":7}'), encoded(b"[" * 5000)])
async def test_a_header_that_cannot_be_read_is_refused(login: Login, issuer: IssuerServer, head: str) -> None:
    _, payload, mark = issuer.token().split(".")

    assert "oidc: malformed jwt" in await login.fault(f"{head}.{payload}.{mark}")


# Keys


async def test_new_keys_are_fetched_when_a_token_needs_them(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    assert await login(issuer.token())
    assert await login(issuer.token(sub="bob"))
    assert issuer.asked.count(KEYS) == 1

    issuer.rotate(ec.generate_private_key(ec.SECP256R1()), "k2")
    await clock.advance(10)

    assert await login(issuer.token())
    assert issuer.asked.count(KEYS) == 2


async def test_unknown_keys_do_not_make_us_ask_all_the_time(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    payload = json.dumps(issuer.claims()).encode()
    for kid in range(50):
        assert await login.fault(issuer.signed(payload, kid=f"no{kid}"))
    assert issuer.asked.count(KEYS) == 1

    await clock.advance(10)
    assert await login.fault(issuer.signed(payload, kid="none"))
    assert issuer.asked.count(KEYS) == 2


async def test_keys_are_kept_as_long_as_the_issuer_says(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    issuer.headers["cache-control"] = "public, max-age=300"
    assert await login(issuer.token())
    issuer.rotate(ec.generate_private_key(ec.SECP256R1()), "k2")

    await clock.advance(200)
    assert "failed to verify" in await login.fault(issuer.token())
    await clock.advance(100)
    assert await login(issuer.token())


async def test_many_tokens_at_once_ask_for_the_keys_once(login: Login, issuer: IssuerServer) -> None:
    gate = asyncio.Event()
    issuer.answers[KEYS] = waiting(gate, json.dumps({"keys": issuer.keys}))
    logins = [asyncio.create_task(login(issuer.token(sub=f"u{index}"))) for index in range(20)]
    await until(lambda: KEYS in issuer.asked)
    # The one who asks goes away; another asks in its place.
    logins[0].cancel()
    gate.set()

    users = await asyncio.gather(*logins[1:])

    assert {user.name for user in users} == {f"oidc:u{index}" for index in range(1, 20)}
    assert issuer.asked.count(KEYS) <= 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(saying("{}", 500), "fetching keys oidc: get keys failed: 500", id="fault"),
        pytest.param(saying("<html>"), "failed to decode keys", id="garbage"),
        pytest.param(saying('{"keys": 7}'), "failed to decode keys", id="no list"),
        pytest.param(saying("x" * 2_000_000), "larger than", id="huge"),
        pytest.param(
            saying('{"keys": [{"kty": "EC", "crv": "P-256", "x": 7}, {}]}'), "id token", id="bad keys"
        ),
    ],
)
async def test_an_issuer_with_bad_keys(login: Login, issuer: IssuerServer, answer: Any, text: str) -> None:
    issuer.answers[KEYS] = answer

    assert text in await login.fault(issuer.token())


async def test_known_keys_stay_in_use_while_the_issuer_is_down(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    assert await login(issuer.token())
    issuer.answers[KEYS] = saying("", 503)
    await clock.advance(20)

    assert "fetching keys" in await login.fault(issuer.signed(b"{" + issuer_claims(issuer), kid="k9"))
    assert await login(issuer.token(sub="bob"))


def issuer_claims(issuer: IssuerServer) -> bytes:
    return json.dumps(issuer.claims()).encode()[1:]


async def test_a_key_is_chosen_by_name_and_only_for_what_it_can_sign(clock: VirtualClock) -> None:
    curves = {"k1": ec.SECP256R1(), "k2": ec.SECP384R1(), "k3": ec.SECP256K1()}
    listed = [jwk(ec.generate_private_key(curve), kid, alg="HS256") for kid, curve in curves.items()]

    async def fetch() -> Answer:
        return Answer(200, {}, json.dumps({"keys": listed}).encode())

    keys = KeySet(fetch, lambda body: None, clock)
    await keys.refresh()

    def found(kid: str, algorithm: str) -> list[str]:
        return [key.id for key in keys.candidates(kid, algorithm)]

    assert (found("", "ES256"), found("", "ES384"), found("k1", "ES256")) == (["k1"], ["k2"], ["k1"])
    assert [found("k1", "ES384"), found("k2", "ES256"), found("", "RS256"), found("", "HS256")] == [[]] * 4


async def test_a_verifier_does_not_rely_on_being_asked_about_its_own_issuer(
    issuer: IssuerServer, clock: VirtualClock
) -> None:
    async def fetch() -> Answer:
        return Answer(200, {}, json.dumps({"keys": issuer.keys}).encode())

    keys = KeySet(fetch, lambda body: None, clock)
    verifier = Verifier("https://other", (AUDIENCE,), ALGORITHMS, keys, clock)

    with pytest.raises(Refused, match="id token issued by a different provider"):
        await verifier.claims(issuer.token())


# Discovery


async def test_an_issuer_that_is_down_is_asked_again(issuer: IssuerServer, clock: VirtualClock) -> None:
    issuer.answers[DISCOVERY] = saying("", 503)
    async with login_by(clock, rules(issuer), found=False) as login:
        await until(lambda: clock.next_wake is not None)
        assert "oidc: authenticator not initialized" in await login.fault(issuer.token())

        del issuer.answers[DISCOVERY]
        await clock.advance(10)
        await until(lambda: issuer.asked.count(DISCOVERY) == 2)
        async with asyncio.timeout(30):
            while "not initialized" in await _fault_or_none(login, issuer.token()):
                await asyncio.sleep(0)


async def _fault_or_none(login: Login, token: str) -> str:
    try:
        await login(token)
    except Refused as error:
        return str(error)
    return ""


async def test_a_slow_issuer_holds_nobody_up(issuer: IssuerServer, clock: VirtualClock) -> None:
    issuer.answers[DISCOVERY] = waiting(asyncio.Event(), "")
    async with login_by(clock, rules(issuer), found=False) as login:
        await until(lambda: DISCOVERY in issuer.asked)

        assert "not initialized" in await login.fault(issuer.token())


@pytest.mark.parametrize(
    "document",
    ['{"issuer": "https://other", "jwks_uri": "https://x"}', "<html>", "[]", "{}", '{"issuer": 7}'],
)
async def test_an_issuer_that_is_another_is_not_believed(
    issuer: IssuerServer, clock: VirtualClock, document: str
) -> None:
    issuer.answers[DISCOVERY] = saying(document)
    async with login_by(clock, rules(issuer), found=False) as login:
        await until(lambda: clock.next_wake is not None)

        assert "not initialized" in await login.fault(issuer.token())


async def test_an_issuer_with_a_strangers_certificate_is_not_believed(
    issuer: IssuerServer, clock: VirtualClock
) -> None:
    said = rules(issuer).issuer
    stranger = (issuer.folder / "front-proxy-ca.crt").read_text()
    fake = JwtAuthenticator(
        issuer=Issuer(url=said.url, audiences=said.audiences, certificate_authority=stranger),
        claim_mappings=SUBJECT,
    )
    async with login_by(clock, fake, found=False) as login:
        await until(lambda: clock.next_wake is not None)

        assert "not initialized" in await login.fault(issuer.token())
    assert issuer.asked == []


async def test_the_document_can_be_somewhere_else(issuer: IssuerServer, clock: VirtualClock) -> None:
    inner = issuer.url
    issuer.url = "https://issuer.example"
    issuer.answers["/elsewhere"] = saying(json.dumps({"issuer": issuer.url, "jwks_uri": f"{inner}{KEYS}"}))
    said = Issuer(
        url=issuer.url,
        discovery_url=f"{inner}/elsewhere",
        audiences=(AUDIENCE,),
        certificate_authority=issuer.ca,
    )
    async with login_by(clock, JwtAuthenticator(issuer=said, claim_mappings=SUBJECT)) as login:
        assert await login(issuer.token())


async def test_several_issuers_each_have_their_own_keys_and_rules(
    issuer: IssuerServer, folder: Path, clock: VirtualClock
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    other_rules = ClaimMappings(username=PrefixedClaimOrExpression("sub", "other:"))
    async with (
        IssuerServer(folder, clock, key) as other,
        login_by(clock, rules(issuer), rules(other, other_rules)) as login,
    ):
        assert (await login(issuer.token())).name == "oidc:ann"
        assert (await login(other.token())).name == "other:ann"
        assert "failed to verify" in await login.fault(issuer.token(iss=other.url))


async def test_a_token_is_for_the_api_server_alone(login: Login, issuer: IssuerServer) -> None:
    token = issuer.token()

    assert (await login.chain.review(token, (OWN, "vault"))).audiences == (OWN,)
    with pytest.raises(Refused):
        await login.chain.review(token, ("vault",))


async def test_verdicts_are_kept_for_a_moment_and_measured(
    login: Login, issuer: IssuerServer, clock: VirtualClock
) -> None:
    token = issuer.token()
    for _ in range(3):
        await login(token)

    def value(name: str, **labels: str) -> float | None:
        return login.registry.get_sample_value(name, labels)

    cache = "authentication_token_cache_{}".format
    assert value(cache("request_total"), status="hit") == 2
    assert value(cache("request_total"), status="miss") == 1
    assert value(cache("fetch_total"), status="ok") == 1
    hashes = {
        labels["jwt_issuer_hash"]
        for family in login.registry.collect()
        for _, labels, *_ in family.samples
        if "jwt_issuer_hash" in labels
    }
    assert len(hashes) == 1
    latency = "apiserver_authentication_jwt_authenticator_latency_seconds_count"
    assert value(latency, result="success", jwt_issuer_hash=hashes.pop()) == 1


# Claims


async def user_by(
    issuer: IssuerServer, clock: VirtualClock, authenticator: JwtAuthenticator, **claims: Any
) -> User | str:
    async with login_by(clock, authenticator) as login:
        try:
            return await login(issuer.token(**claims))
        except Refused as error:
            return str(error)


@pytest.mark.slow
async def test_claims_and_prefixes_make_the_user(issuer: IssuerServer, clock: VirtualClock) -> None:
    mappings = ClaimMappings(
        username=PrefixedClaimOrExpression("name", ""),
        groups=PrefixedClaimOrExpression("roles", "g:"),
        uid=ClaimOrExpression("sub"),
    )
    by = rules(issuer, mappings)

    assert await user_by(issuer, clock, by, name="ann", roles=["dev", "ops"], sub="7") == User(
        "ann", "7", ("g:dev", "g:ops", "system:authenticated")
    )
    assert await user_by(issuer, clock, by, name="ann", roles="dev") == User(
        "ann", "ann", ("g:dev", "system:authenticated")
    )
    assert 'parse groups claim "roles"' in str(await user_by(issuer, clock, by, name="ann", roles=[7]))
    assert "names no user" in str(await user_by(issuer, clock, by, name=""))


async def test_expressions_make_the_user(issuer: IssuerServer, clock: VirtualClock) -> None:
    mappings = ClaimMappings(
        username=PrefixedClaimOrExpression(expression="claims.sub + '@' + claims.org.name"),
        groups=PrefixedClaimOrExpression(expression="claims.roles.split(',').map(r, 'g:' + r)"),
        uid=ClaimOrExpression(expression="claims.?id.orValue('none')"),
        extra=(
            ExtraMapping("acme.io/scopes", "claims.scopes"),
            ExtraMapping("acme.io/empty", "claims.?missing.orValue([])"),
        ),
    )

    user = await user_by(
        issuer,
        clock,
        rules(issuer, mappings),
        org={"name": "acme"},
        roles="dev,ops",
        scopes=["read", "", "write"],
    )

    assert user == User(
        "ann@acme",
        "none",
        ("g:dev", "g:ops", "system:authenticated"),
        {"acme.io/scopes": ("read", "write")},
    )


@pytest.mark.parametrize(
    ("mappings", "text"),
    [
        pytest.param(
            ClaimMappings(username=PrefixedClaimOrExpression(expression="claims.number")),
            "username claim expression must return a string",
            id="name",
        ),
        pytest.param(
            ClaimMappings(username=PrefixedClaimOrExpression(expression="claims.missing")),
            "oidc: error evaluating username claim expression: expression 'claims.missing' resulted in error",
            id="missing",
        ),
        pytest.param(
            ClaimMappings(
                username=PrefixedClaimOrExpression("sub", ""),
                groups=PrefixedClaimOrExpression(expression="[claims.number]"),
            ),
            "oidc: error evaluating group claim expression: expression must return a string or a list",
            id="groups",
        ),
        pytest.param(
            ClaimMappings(
                username=PrefixedClaimOrExpression("sub", ""),
                extra=(ExtraMapping("acme.io/a", "{'a': 'b'}"),),
            ),
            "oidc: error evaluating extra claim expression: {'a': 'b'}: expression must return",
            id="extra",
        ),
        pytest.param(
            ClaimMappings(
                username=PrefixedClaimOrExpression(
                    expression="claims.list.map(a, claims.list.map(b, claims.list.map(c, 'x'))).size() > 0"
                    " ? 'a' : 'b'"
                )
            ),
            "cost limit exceeded",
            id="too dear",
        ),
    ],
)
async def test_values_of_the_wrong_kind_are_refused(
    issuer: IssuerServer, clock: VirtualClock, mappings: ClaimMappings, text: str
) -> None:
    found = await user_by(issuer, clock, rules(issuer, mappings), number=7, list=list(range(300)))

    assert text in str(found)


async def test_an_email_that_is_not_verified_is_nobodys(issuer: IssuerServer, clock: VirtualClock) -> None:
    by = rules(issuer, ClaimMappings(username=PrefixedClaimOrExpression("email", "")))
    mail = "ann@example.com"

    assert isinstance(await user_by(issuer, clock, by, email=mail), User)
    assert isinstance(await user_by(issuer, clock, by, email=mail, email_verified=True), User)
    for verified, text in ((False, "oidc: email not verified"), ("true", "parse 'email_verified' claim")):
        assert text in str(await user_by(issuer, clock, by, email=mail, email_verified=verified))


@pytest.mark.slow
async def test_required_claims_and_rules_refuse_tokens(issuer: IssuerServer, clock: VirtualClock) -> None:
    by = rules(
        issuer,
        claim_validation_rules=(
            ClaimValidationRule(claim="hd", required_value="example.com"),
            ClaimValidationRule(expression="claims.exp - claims.iat <= 3600", message="lives too long"),
        ),
        user_validation_rules=(
            UserValidationRule("!user.username.endsWith('root')", "root is reserved"),
            UserValidationRule("user.groups.all(g, !g.startsWith('system:'))", "not those"),
        ),
    )
    good = {"hd": "example.com"}

    assert isinstance(await user_by(issuer, clock, by, **good), User)
    for claims, text in (
        ({}, "oidc: required claim hd not present in ID token"),
        ({"hd": "evil"}, "required claim hd value does not match. Got = evil, want = example.com"),
        ({"hd": ["example.com"]}, "oidc: parse claim hd: json: cannot unmarshal array"),
        (
            good | {"exp": 2**33},
            "oidc: error evaluating claim validation expression: validation expression"
            " 'claims.exp - claims.iat <= 3600' failed: lives too long",
        ),
        (
            good | {"sub": "root"},
            "oidc: error evaluating user info validation rule: validation expression"
            " '!user.username.endsWith('root')' failed: root is reserved",
        ),
    ):
        assert text in str(await user_by(issuer, clock, by, **claims))


# The whole server


@pytest.mark.slow
@pytest.mark.parametrize("by_file", [True, False])
async def test_a_server_lets_them_in(
    folder: Path, config: ApiServerConfig, tmp_path: Path, by_file: bool
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    async with IssuerServer(folder, SystemClock(), key, "RS256") as issuer:
        flags = OidcSettings(issuer_url=issuer.url, client_id=AUDIENCE, ca_file=folder / "ca.crt")
        settings = AuthenticationSettings(oidc=flags)
        if by_file:
            entry = msgspec.to_builtins(rules(issuer, ClaimMappings(PrefixedClaimOrExpression("sub", ""))))
            head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
            (tmp_path / "auth.json").write_text(json.dumps(head | {"jwt": [entry]}))
            settings = AuthenticationSettings(config=tmp_path / "auth.json")
        async with ApiServer(replace(config, authentication=settings)) as server:
            api = Api(server.app, issuer.token())
            async with asyncio.timeout(30):
                while (answer := await api("POST", WHOAMI, REVIEW)).code == 401:
                    await asyncio.sleep(0)

    name = answer.body["status"]["userInfo"]["username"]
    assert name == ("ann" if by_file else f"{issuer.url}#ann")
