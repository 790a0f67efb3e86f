"""Tokens that live in Secrets: of joining nodes, and the old ones of service accounts."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import rfc3339
from kplane.apiserver.auth.serviceaccounts.legacy import legacy_claims
from kplane.runtime.tokenkeys import sign, signing

from .conftest import ACCOUNTS, Accounts, forged

SYSTEM_SECRETS = "/api/v1/namespaces/kube-system/secrets"
SECRETS = "/api/v1/namespaces/default/secrets"
TOKEN = "abcdef.0123456789abcdef"
MERGE = "application/merge-patch+json"


async def bootstrap_secret(
    accounts: Accounts, kind: str = "bootstrap.kubernetes.io/token", **data: str
) -> None:
    content = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
    } | {name.replace("_", "-"): value for name, value in data.items()}
    body = {"metadata": {"name": "bootstrap-token-abcdef"}, "type": kind, "stringData": content}
    await accounts.api.make(SYSTEM_SECRETS, body)


async def test_a_bootstrap_token_is_a_joining_node(accounts: Accounts) -> None:
    await bootstrap_secret(accounts, expiration=rfc3339(accounts.clock.now() + timedelta(hours=1)))

    info = await accounts.whoami(TOKEN)

    assert info["username"] == "system:bootstrap:abcdef"
    assert info["groups"] == [
        "system:bootstrappers",
        "system:bootstrappers:workers",
        "system:authenticated",
    ]
    accounts.clock.ahead = timedelta(hours=2)
    assert await accounts.code(TOKEN) == 401


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"token_secret": "another"}, id="secret"),
        pytest.param({"token_id": "ghijkl"}, id="id"),
        pytest.param({"usage_bootstrap_authentication": "false"}, id="usage"),
        pytest.param({"expiration": "soon"}, id="unreadable expiration"),
        pytest.param({"auth_extra_groups": "system:masters"}, id="group"),
        pytest.param({"kind": "Opaque"}, id="type"),
    ],
)
async def test_bad_bootstrap_tokens_are_refused(accounts: Accounts, data: dict[str, str]) -> None:
    await bootstrap_secret(accounts, **data)

    assert await accounts.code(TOKEN) == 401


async def legacy(accounts: Accounts, **changes: Any) -> str:
    account = (await accounts.api("GET", f"{ACCOUNTS}/robot")).body
    claims = legacy_claims(account, {"metadata": {"name": "robot-token"}})
    token = sign(claims | changes, signing(accounts.key))
    await accounts.api.make(
        SECRETS,
        {
            "metadata": {
                "name": "robot-token",
                "annotations": {"kubernetes.io/service-account.name": "robot"},
            },
            "type": "kubernetes.io/service-account-token",
            "data": {"token": base64.b64encode(token.encode()).decode()},
        },
    )
    return token


async def test_a_token_out_of_a_secret_is_its_account(accounts: Accounts) -> None:
    token = await legacy(accounts)

    assert (await accounts.whoami(token))["username"] == "system:serviceaccount:default:robot"


async def test_it_dies_with_its_secret(accounts: Accounts) -> None:
    token = await legacy(accounts)

    await accounts.api("DELETE", f"{SECRETS}/robot-token")

    assert await accounts.code(token) == 401


async def test_the_secret_must_hold_this_very_token(accounts: Accounts) -> None:
    token = await legacy(accounts)
    other = base64.b64encode(b"another").decode()

    await accounts.api("PATCH", f"{SECRETS}/robot-token", {"data": {"token": other}}, content_type=MERGE)

    assert (await accounts.review(token))["error"].endswith("Token does not match server's copy]")


async def test_it_dies_with_its_account(accounts: Accounts) -> None:
    token = await legacy(accounts)

    await accounts.api("DELETE", f"{ACCOUNTS}/robot")
    assert await accounts.code(token) == 401

    await accounts.api.make(ACCOUNTS, {"metadata": {"name": "robot"}})
    assert await accounts.code(token) == 401


async def test_a_label_makes_it_invalid(accounts: Accounts) -> None:
    token = await legacy(accounts)
    labels = {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}

    await accounts.api(
        "PATCH", f"{SECRETS}/robot-token", {"metadata": {"labels": labels}}, content_type=MERGE
    )

    assert "has been marked invalid" in (await accounts.review(token))["error"]
    assert await accounts.code(token) == 401


async def test_a_stranger_cannot_sign_one(accounts: Accounts) -> None:
    token = await legacy(accounts)

    assert await accounts.code(forged(token, ec.generate_private_key(ec.SECP256R1()))) == 401


async def test_its_subject_must_be_the_account(accounts: Accounts) -> None:
    token = await legacy(accounts, sub="system:serviceaccount:kube-system:admin")

    assert "sub claim is invalid" in (await accounts.review(token))["error"]


LAST_USED = "kubernetes.io/legacy-token-last-used"


async def labels(accounts: Accounts) -> dict[str, str]:
    found: dict[str, str] = (await accounts.api("GET", f"{SECRETS}/robot-token")).body["metadata"].get(
        "labels"
    ) or {}
    return found


async def test_the_day_of_its_last_use_is_noted_once_a_day(accounts: Accounts) -> None:
    token = await legacy(accounts)
    assert LAST_USED not in await labels(accounts)

    await accounts.code(token)
    assert await labels(accounts) == {LAST_USED: f"{accounts.clock.now():%Y-%m-%d}"}
    version = (await accounts.api("GET", f"{SECRETS}/robot-token")).body["metadata"]["resourceVersion"]
    await accounts.code(token)
    assert (await accounts.api("GET", f"{SECRETS}/robot-token")).body["metadata"][
        "resourceVersion"
    ] == version

    accounts.clock.ahead = timedelta(days=2)
    await accounts.code(token)
    assert await labels(accounts) == {LAST_USED: f"{accounts.clock.now():%Y-%m-%d}"}


async def test_a_day_that_a_faster_clock_has_noted_stays(accounts: Accounts) -> None:
    token = await legacy(accounts)
    accounts.clock.ahead = timedelta(days=1)
    await accounts.code(token)
    noted = await labels(accounts)

    accounts.clock.ahead = timedelta()
    await accounts.code(token)

    assert await labels(accounts) == noted


async def test_a_bad_token_is_no_use_of_a_secret(accounts: Accounts) -> None:
    token = await legacy(accounts)

    await accounts.code(forged(token, ec.generate_private_key(ec.SECP256R1())))

    assert LAST_USED not in await labels(accounts)


async def test_uses_are_counted_by_how_the_secret_came_about(accounts: Accounts) -> None:
    async def count(name: str) -> str:
        text = (await accounts.api("GET", "/metrics")).body.decode()
        (line,) = (line for line in text.splitlines() if line.startswith(f"serviceaccount_{name}_total "))
        return line.split()[1]

    token = await legacy(accounts)
    await accounts.code(token)
    assert (await count("legacy_tokens"), await count("legacy_manual_token_uses")) == ("1.0", "1.0")
    references = {"secrets": [{"name": "robot-token"}]}
    await accounts.api("PATCH", f"{ACCOUNTS}/robot", references, content_type=MERGE)

    await accounts.code(token)

    assert (await count("legacy_tokens"), await count("legacy_auto_token_uses")) == ("2.0", "1.0")
    # A token that does not say from when on it is stale is neither.
    await accounts.code(await accounts.token())
    assert (await count("valid_tokens"), await count("stale_tokens")) == ("0.0", "0.0")
    made = await accounts.make_pod()
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": made["metadata"]["uid"]}
    mounted = await accounts.token(expirationSeconds=3607, boundObjectRef=bound)
    await accounts.code(mounted)
    assert (await count("valid_tokens"), await count("stale_tokens")) == ("1.0", "0.0")
    accounts.clock.ahead = timedelta(hours=2)
    await accounts.code(mounted)
    assert (await count("valid_tokens"), await count("stale_tokens")) == ("1.0", "1.0")
