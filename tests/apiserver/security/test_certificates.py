"""Who asks for a certificate neither approves nor signs it, and who decides changes nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from ..auth.rbac.conftest import Guarded, rule, user
from ..registry.test_certificates import MERGE, PATH, certificate_pem, csr, decide, encoded, issue

GROUP = "certificates.k8s.io"
REQUESTS = "certificatesigningrequests"


async def allow(guarded: Guarded, *rules: dict[str, Any]) -> None:
    await guarded.role("some", *rules)
    await guarded.bind("some", user("ann"))


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        pytest.param([], 403, id="no signer"),
        pytest.param(["example.com/signer"], 200, id="this signer"),
        pytest.param(["example.com/*"], 200, id="its domain"),
        pytest.param(["example.com/other"], 403, id="another signer"),
        pytest.param(["*"], 403, id="a star is a name here"),
    ],
)
@pytest.mark.parametrize(("verb", "endpoint"), [("approve", "approval"), ("sign", "status")])
async def test_the_endpoint_is_not_enough(
    guarded: Guarded, verb: str, endpoint: str, signers: list[str], code: int
) -> None:
    signing = [rule(verb, GROUP, "signers", *signers)] if signers else []
    await allow(guarded, rule("get patch", GROUP, f"{REQUESTS}/{endpoint}"), *signing)
    await guarded.admin.make(PATH, csr())
    if verb == "sign":
        await decide(guarded.admin, "Approved")

    answer = await (
        decide(guarded.ann, "Approved") if verb == "approve" else issue(guarded.ann, certificate_pem())
    )

    assert answer.code == code, answer.body
    if code == 403:
        assert (
            f'user not permitted to {verb} requests with signerName "example.com/signer"'
            in (answer.body["message"])
        )


async def test_who_may_write_requests_decides_nothing(guarded: Guarded) -> None:
    await allow(guarded, rule("create get update patch", GROUP, REQUESTS))
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}}
    signed = {"status": {"certificate": encoded(certificate_pem())}}
    made = await guarded.ann("POST", PATH, csr() | approved)
    assert (made.code, made.body["status"]) == (201, {})

    for part in (approved, signed):
        await guarded.ann("PATCH", f"{PATH}/ann", part, content_type=MERGE)
        for endpoint in ("approval", "status"):
            answer = await guarded.ann("PATCH", f"{PATH}/ann/{endpoint}", part, content_type=MERGE)
            assert answer.code == 403

    assert (await guarded.admin("GET", f"{PATH}/ann")).body["status"] == {}


async def test_nobody_asks_in_anothers_name(guarded: Guarded) -> None:
    await allow(guarded, rule("create", GROUP, REQUESTS))
    claimed = {"username": "system:admin", "groups": ["system:masters"], "uid": "0", "extra": {"a": ["b"]}}

    made = (await guarded.ann("POST", PATH, csr(**claimed))).body["spec"]

    assert (made["username"], made["groups"]) == ("ann", ["dev", "system:authenticated"])
    assert made.get("uid") == "2"
    assert "extra" not in made


async def test_who_approves_changes_neither_the_request_nor_the_certificate(guarded: Guarded) -> None:
    await allow(
        guarded,
        rule("get update patch", GROUP, f"{REQUESTS}/approval"),
        rule("approve", GROUP, "signers", "example.com/signer"),
    )
    made = await guarded.admin.make(PATH, csr())
    condition = {"type": "Approved", "status": "True", "reason": "r"}
    change = {
        "spec": {"signerName": "kubernetes.io/kube-apiserver-client", "username": "root"},
        "status": {"conditions": [condition], "certificate": encoded(certificate_pem())},
    }

    answer = await guarded.ann("PATCH", f"{PATH}/ann/approval", change, content_type=MERGE)

    found = (await guarded.admin("GET", f"{PATH}/ann")).body
    assert answer.code == 200
    assert found["spec"] == made["spec"]
    assert "certificate" not in found["status"]
