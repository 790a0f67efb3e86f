"""Tokens of service accounts: what is issued, and what is let in again."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..conftest import Api
from .conftest import ACCOUNTS, ISSUER, Accounts, claims, forged

PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"


def bound_to(kind: str, obj: Any, **changes: str) -> dict[str, Any]:
    meta = obj["metadata"]
    reference = {"kind": kind, "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
    return {"boundObjectRef": reference | changes}


async def test_a_token_says_who_it_is_for(accounts: Accounts) -> None:
    answer = await accounts.request()

    found = claims(answer.body["status"]["token"])
    account = (await accounts.api("GET", f"{ACCOUNTS}/robot")).body
    assert answer.body["metadata"]["name"] == "robot"
    assert answer.body["spec"] == {
        "audiences": [ISSUER, "https://former"],
        "expirationSeconds": 3600,
        "boundObjectRef": None,
    }
    assert found["kubernetes.io"] == {
        "namespace": "default",
        "serviceaccount": {"name": "robot", "uid": account["metadata"]["uid"]},
    }
    assert (found["iss"], found["sub"]) == (ISSUER, "system:serviceaccount:default:robot")
    assert found["exp"] - found["iat"] == 3600
    assert found["nbf"] == found["iat"]


async def test_a_token_is_for_the_account_that_is_meant(accounts: Accounts) -> None:
    """And for none that was made under its name since."""
    account = (await accounts.api("GET", f"{ACCOUNTS}/robot")).body
    uid, path = account["metadata"]["uid"], f"{ACCOUNTS}/robot/token"

    assert (await accounts.request()).body["metadata"]["uid"] == uid
    assert (await accounts.api("POST", path, {"metadata": {"uid": uid}, "spec": {}})).code == 201
    answer = await accounts.api("POST", path, {"metadata": {"uid": "former"}, "spec": {}})

    assert answer.code == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token'
        f" request (former) does not match the UID of the service account ({uid})"
    )


async def test_a_token_is_not_bound_to_a_webhook(accounts: Accounts) -> None:
    kind = "ValidatingWebhookConfiguration"
    reference = {"kind": kind, "apiVersion": "admissionregistration.k8s.io/v1", "name": "hook"}

    answer = await accounts.request(
        boundObjectRef=reference, attestations={"admissionReviewAPIGroups": ["apps"]}, audiences=["https://h"]
    )

    assert (answer.code, answer.body["message"]) == (
        400,
        f"cannot bind token to object of type admissionregistration.k8s.io/v1, Kind={kind}"
        " (feature gate APIServerWebhookAuthenticationToken is disabled)",
    )


@pytest.mark.parametrize(
    ("kind", "attestations", "said"),
    [
        (
            "Pod",
            {"admissionReviewAPIGroups": ["apps"]},
            ': Invalid value: {"admissionReviewAPIGroups":["apps"]}: attestations may only be specified with'
            " a webhook bound object reference",
        ),
        (
            "MutatingWebhookConfiguration",
            {},
            ": Invalid value: null: webhook bound requests require exactly one admissionReviewAPIGroups"
            " attestation",
        ),
        (
            "MutatingWebhookConfiguration",
            {"admissionReviewAPIGroups": ["apps", "batch"]},
            '[admissionReviewAPIGroups]: Invalid value: ["apps","batch"]: must specify a single value',
        ),
        (
            "MutatingWebhookConfiguration",
            {"other": ["apps"]},
            '[other]: Unsupported value: "other": supported values: "admissionReviewAPIGroups"',
        ),
    ],
)
async def test_attestations_are_for_webhooks(
    accounts: Accounts, kind: str, attestations: dict[str, list[str]], said: str
) -> None:
    reference = {"kind": kind, "apiVersion": "v1", "name": "x"}

    answer = await accounts.request(boundObjectRef=reference, attestations=attestations)

    assert answer.code == 422
    prefix = 'TokenRequest.authentication.k8s.io "" is invalid: spec.attestations'
    assert answer.body["message"] == f"{prefix}{said}"


async def test_a_token_makes_its_bearer_the_account(accounts: Accounts) -> None:
    token = await accounts.token()

    info = await accounts.whoami(token)

    assert info["username"] == "system:serviceaccount:default:robot"
    assert info["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
    ]
    assert info["extra"] == {"authentication.kubernetes.io/credential-id": [f"JTI={claims(token)['jti']}"]}
    assert await accounts.code(token) == 200


async def test_a_pods_token_names_pod_and_node(accounts: Accounts) -> None:
    node = await accounts.api.make("/api/v1/nodes", {"metadata": {"name": "n1"}})
    made = await accounts.make_pod(node="n1")
    token = await accounts.token(**bound_to("Pod", made))

    private = claims(token)["kubernetes.io"]
    extra = (await accounts.whoami(token))["extra"]

    assert private["pod"] == {"name": "web", "uid": made["metadata"]["uid"]}
    assert private["node"] == {"name": "n1", "uid": node["metadata"]["uid"]}
    assert extra["authentication.kubernetes.io/pod-name"] == ["web"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [made["metadata"]["uid"]]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]
    assert extra["authentication.kubernetes.io/node-uid"] == [node["metadata"]["uid"]]


async def test_the_usual_token_of_a_pod_lives_on_and_tells_when_it_is_old(accounts: Accounts) -> None:
    made = await accounts.make_pod()

    found = claims(await accounts.token(expirationSeconds=3607, **bound_to("Pod", made)))

    assert found["exp"] - found["iat"] == 365 * 24 * 3600
    assert found["kubernetes.io"]["warnafter"] - found["iat"] == 3607


async def test_a_token_for_others_is_not_extended(accounts: Accounts) -> None:
    made = await accounts.make_pod()

    found = claims(await accounts.token(expirationSeconds=3607, audiences=["vault"], **bound_to("Pod", made)))

    assert found["exp"] - found["iat"] == 3607


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        pytest.param(
            {"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes", id="short"
        ),
        pytest.param(
            {"expirationSeconds": 2**33},
            422,
            "may not specify a duration larger than 2^32 seconds",
            id="long",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}},
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
            id="kind",
        ),
        pytest.param(
            {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}},
            404,
            'pods "none" not found',
            id="missing",
        ),
    ],
)
async def test_wishes_that_cannot_be_granted(
    accounts: Accounts, spec: dict[str, Any], code: int, text: str
) -> None:
    answer = await accounts.request(**spec)

    assert answer.code == code
    assert text in answer.body["message"]


async def test_a_missing_account_gets_no_token(accounts: Accounts) -> None:
    answer = await accounts.request("nobody")

    assert (answer.code, answer.body["message"]) == (404, 'serviceaccounts "nobody" not found')


async def test_a_pod_of_another_account_is_no_anchor(accounts: Accounts) -> None:
    await accounts.api.make(ACCOUNTS, {"metadata": {"name": "other"}})
    made = await accounts.make_pod()

    answer = await accounts.request("other", **bound_to("Pod", made))

    assert answer.code == 400
    assert answer.body["message"] == (
        'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.'
    )


async def test_a_replaced_pod_is_no_anchor(accounts: Accounts) -> None:
    made = await accounts.make_pod()

    answer = await accounts.request(**bound_to("Pod", made, uid="another"))

    assert answer.code == 409
    assert "the UID in the bound object reference (another) does not match" in answer.body["message"]


async def test_a_foreign_name_in_the_body_is_refused(accounts: Accounts) -> None:
    body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {"name": "x"}}

    answer = await accounts.api("POST", f"{ACCOUNTS}/robot/token", body)

    assert answer.code == 422
    assert "must match the service account name if specified" in answer.body["message"]


async def test_a_token_expires_after_a_minute_of_leeway(accounts: Accounts) -> None:
    token = await accounts.token(expirationSeconds=600)

    accounts.clock.ahead = timedelta(seconds=650)
    assert await accounts.code(token) == 200
    accounts.clock.ahead = timedelta(seconds=662)
    assert await accounts.code(token) == 401


async def test_a_token_from_the_future_is_refused(accounts: Accounts) -> None:
    token = await accounts.token()

    accounts.clock.ahead = timedelta(seconds=-62)
    assert await accounts.code(token) == 401


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_each_time_in_the_future_is_enough_to_refuse(accounts: Accounts, claim: str) -> None:
    token = await accounts.token()
    now = claims(token)[claim]

    assert await accounts.code(forged(token, accounts.key, **{claim: now + 50})) == 200
    assert await accounts.code(forged(token, accounts.key, **{claim: now + 70})) == 401


async def test_forged_tokens_are_refused(accounts: Accounts) -> None:
    token = await accounts.token()
    stranger = ec.generate_private_key(ec.SECP256R1())
    kid = jwt.get_unverified_header(token)["kid"]

    assert await accounts.code(forged(token, accounts.key)) == 200
    assert await accounts.code(forged(token, stranger)) == 401
    assert await accounts.code(forged(token, stranger, kid=kid)) == 401
    assert await accounts.code(forged(token, accounts.key, kid="unknown")) == 401


async def test_an_unsigned_token_is_refused(accounts: Accounts) -> None:
    token = await accounts.token()

    assert await accounts.code(forged(token, None, None)) == 401


async def test_a_token_signed_with_the_public_key_as_a_password_is_refused(accounts: Accounts) -> None:
    token = await accounts.token()
    public = accounts.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    signed = f"{head}.{token.split('.')[1]}"
    mark = base64.urlsafe_b64encode(hmac.digest(public, signed.encode(), "sha256")).rstrip(b"=").decode()

    assert await accounts.code(f"{signed}.{mark}") == 401


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"iss": "https://former"}, 200, id="former issuer"),
        pytest.param({"iss": "https://elsewhere"}, 401, id="wrong issuer"),
        pytest.param({"iss": None}, 401, id="no issuer"),
        pytest.param({"aud": ["vault"]}, 401, id="wrong audience"),
        pytest.param({"aud": None}, 200, id="no audience"),
        pytest.param({"kubernetes.io": None}, 401, id="no account"),
        pytest.param({"iss": "kubernetes/serviceaccount"}, 401, id="not a legacy token"),
    ],
)
async def test_issuer_and_audience_must_be_ours(
    accounts: Accounts, changes: dict[str, Any], code: int
) -> None:
    token = await accounts.token()

    assert await accounts.code(forged(token, accounts.key, **changes)) == code


async def test_the_token_of_a_deleted_account_is_refused(accounts: Accounts) -> None:
    token = await accounts.token()
    assert await accounts.code(token) == 200

    await accounts.api("DELETE", f"{ACCOUNTS}/robot")
    assert await accounts.code(token) == 401

    await accounts.api.make(ACCOUNTS, {"metadata": {"name": "robot"}})
    assert await accounts.code(token) == 401


@pytest.mark.parametrize("kind", ["Pod", "Secret", "Node"])
async def test_a_token_dies_with_what_it_is_bound_to(accounts: Accounts, kind: str) -> None:
    path = {"Pod": PODS, "Secret": SECRETS, "Node": "/api/v1/nodes"}[kind]

    async def make() -> Any:
        return await (
            accounts.make_pod() if kind == "Pod" else accounts.api.make(path, {"metadata": {"name": "web"}})
        )

    token = await accounts.token(**bound_to(kind, await make()))
    assert await accounts.code(token) == 200

    await accounts.api("DELETE", f"{path}/web", {"gracePeriodSeconds": 0})
    assert await accounts.code(token) == 401

    await make()
    assert await accounts.code(token) == 401


async def test_a_terminating_pods_token_lives_a_minute_longer(accounts: Accounts) -> None:
    token = await accounts.token(**bound_to("Pod", await accounts.make_pod(node="n1")))
    await accounts.api("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 30})

    assert await accounts.code(token) == 200
    accounts.clock.ahead = timedelta(seconds=95)
    assert await accounts.code(token) == 401


@pytest.mark.parametrize("token", ["a.b.c", "..", "x" * 100_000, "e30.e30.e30", "ée.e30.x"])
async def test_garbage_is_refused(accounts: Accounts, token: str) -> None:
    status = await accounts.review(token)

    assert status["error"].startswith(("invalid bearer token", "[invalid bearer token"))
    assert token not in status["error"]


async def test_a_review_answers_for_the_audience_that_asks(accounts: Accounts) -> None:
    token = await accounts.token(audiences=["vault"])

    good, bad = await accounts.review(token, "vault", "other"), await accounts.review(token)

    assert (good["authenticated"], good["audiences"]) == (True, ["vault"])
    assert good["user"]["username"] == "system:serviceaccount:default:robot"
    assert "authenticated" not in bad
    assert "is invalid for the target audiences" in bad["error"]


async def test_a_static_token_is_for_the_api_alone(accounts: Accounts) -> None:
    assert (await accounts.review("plain", "vault"))["error"] == "invalid bearer token"
    assert (await accounts.review("plain", ISSUER, "vault"))["audiences"] == [ISSUER]


async def test_a_review_needs_a_token(accounts: Accounts) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}}

    answer = await accounts.api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)

    assert (answer.code, answer.body["message"]) == (
        400,
        "token is required for TokenReview in authentication",
    )


async def test_the_issuer_publishes_itself_and_its_keys(accounts: Accounts) -> None:
    plain = Api(accounts.server.app, "plain")

    about, keys = (
        await plain("GET", "/.well-known/openid-configuration"),
        await plain("GET", "/openid/v1/jwks"),
    )

    assert about.body["issuer"] == ISSUER
    assert about.body["jwks_uri"].endswith("/openid/v1/jwks")
    assert about.body["id_token_signing_alg_values_supported"] == ["ES256"]
    assert about.headers["cache-control"] == "public, max-age=3600"
    assert keys.headers["content-type"] == "application/jwk-set+json"
    assert (await Api(accounts.server.app, "")("GET", "/openid/v1/jwks")).code == 401


async def test_published_keys_verify_tokens(accounts: Accounts) -> None:
    token = await accounts.token()
    found = json.loads((await accounts.api("GET", "/openid/v1/jwks")).body)["keys"][0]

    assert found["kid"] == jwt.get_unverified_header(token)["kid"]
    assert jwt.decode(token, jwt.PyJWK(found).key, algorithms=["ES256"], audience=ISSUER)["iss"] == ISSUER
