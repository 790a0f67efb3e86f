"""CertificateSigningRequests: who asks, what is signed, who decides."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ..conftest import Api
from ..kubectl import Kubectl

PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ann")])
PEM = serialization.Encoding.PEM
MERGE = "application/merge-patch+json"


def request_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(NAME)
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
    )


def certificate_pem() -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 7, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def csr(**spec: Any) -> dict[str, Any]:
    usual = {"request": encoded(request_pem()), "signerName": "example.com/signer", "usages": ["client auth"]}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "ann"},
        "spec": usual | spec,
    }


async def decide(api: Api, *kinds: str, **more: Any) -> Any:
    conditions = [{"type": kind, "status": "True", "reason": "r"} | more for kind in kinds]
    return await api(
        "PATCH", f"{PATH}/ann/approval", {"status": {"conditions": conditions}}, content_type=MERGE
    )


async def issue(api: Api, certificate: bytes) -> Any:
    body = {"status": {"certificate": encoded(certificate)}}
    return await api("PATCH", f"{PATH}/ann/status", body, content_type=MERGE)


async def test_the_asker_is_who_asks_and_not_who_the_request_says(api: Api) -> None:
    made = await api.make(PATH, csr(username="root", uid="0", groups=["system:masters"], extra={"a": ["b"]}))

    assert made["spec"]["username"] == "admin"
    assert made["spec"]["uid"] == "1"
    assert made["spec"]["groups"] == ["system:masters", "system:authenticated"]
    assert "extra" not in made["spec"]


async def test_nothing_is_approved_from_the_start(api: Api) -> None:
    body = csr() | {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}

    assert (await api.make(PATH, body))["status"] == {}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param({"request": encoded(b"x")}, "PEM block type must be CERTIFICATE REQUEST", id="no pem"),
        pytest.param(
            {"request": encoded(request_pem().replace(b"MI", b"MA", 1))}, "x509: malformed", id="malformed"
        ),
        pytest.param({"usages": ["flying"]}, 'spec.usages[0]: Unsupported value: "flying"', id="usage"),
        pytest.param(
            {"usages": ["client auth", "client auth"]}, "spec.usages[1]: Duplicate value", id="twice"
        ),
        pytest.param({"usages": []}, "spec.usages: Required value", id="no usage"),
        pytest.param({"signerName": "signer"}, "must be a fully qualified domain and path", id="signer"),
        pytest.param(
            {"signerName": "kubernetes.io/legacy-unknown"},
            "the legacy signerName is not allowed",
            id="legacy",
        ),
        pytest.param({"signerName": "local/x"}, "at least two segments separated by dots", id="domain"),
        pytest.param({"expirationSeconds": 599}, "less than 600 seconds (10 minutes)", id="short"),
    ],
)
async def test_bad_requests_are_refused(api: Api, spec: dict[str, Any], text: str) -> None:
    answer = await api("POST", PATH, csr(**spec))

    assert answer.code == 422
    assert text in answer.body["message"]


async def test_an_approval_writes_conditions_alone(api: Api) -> None:
    await api.make(PATH, csr())
    body = {
        "spec": {"signerName": "example.com/other"},
        "status": {
            "certificate": encoded(certificate_pem()),
            "conditions": [{"type": "Approved", "status": "True", "reason": "r"}],
        },
    }

    answer = await api("PATCH", f"{PATH}/ann/approval", body, content_type=MERGE)

    assert answer.code == 200, answer.body
    assert answer.body["spec"]["signerName"] == "example.com/signer"
    assert "certificate" not in answer.body["status"]
    condition = answer.body["status"]["conditions"][0]
    assert condition["lastUpdateTime"]
    assert condition["lastTransitionTime"]


async def test_a_decision_stays(api: Api) -> None:
    await api.make(PATH, csr())
    await decide(api, "Approved")

    removed, both = await decide(api), await decide(api, "Approved", "Denied")

    assert 'updates may not remove a condition of type "Approved"' in removed.body["message"]
    assert "Approved and Denied conditions are mutually exclusive" in both.body["message"]


@pytest.mark.parametrize(
    ("kinds", "more", "text"),
    [
        (("Approved",), {"status": "False"}, 'status: Unsupported value: "False": supported values: "True"'),
        (("Approved", "Approved"), {}, "Duplicate value"),
        (("",), {}, "status.conditions[0].type: Required value"),
        (("Other",), {"status": "Maybe"}, "Unsupported value"),
    ],
)
async def test_bad_conditions_are_refused(api: Api, kinds: tuple[str, ...], more: Any, text: str) -> None:
    await api.make(PATH, csr())

    answer = await decide(api, *kinds, **more)

    assert answer.code == 422
    assert text in answer.body["message"]


async def test_the_status_cannot_approve(api: Api) -> None:
    await api.make(PATH, csr())
    body = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}

    answer = await api("PATCH", f"{PATH}/ann/status", body, content_type=MERGE)

    assert 'updates may not add a condition of type "Approved"' in answer.body["message"]


async def test_a_certificate_is_issued_once(api: Api) -> None:
    await api.make(PATH, csr())

    first, second = await issue(api, certificate_pem()), await issue(api, certificate_pem())

    assert first.code == 200
    assert "updates may not modify existing certificate content" in second.body["message"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"nothing", "must contain at least one CERTIFICATE PEM block"),
        (request_pem(), 'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'),
        (b"-----BEGIN CERTIFICATE-----\na: b\n\nMA==\n-----END CERTIFICATE-----", "headers are permitted"),
        (b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----", "x509: malformed certificate"),
    ],
)
async def test_what_is_no_certificate_is_not_issued(api: Api, content: bytes, text: str) -> None:
    await api.make(PATH, csr())

    answer = await issue(api, content)

    assert answer.code == 422
    assert text in answer.body["message"]


async def test_writes_to_the_request_itself_change_no_spec(api: Api) -> None:
    made = await api.make(PATH, csr())
    made["spec"]["username"] = "root"

    answer = await api("PUT", f"{PATH}/ann", made)

    assert answer.body["spec"]["username"] == "admin"


@pytest.mark.slow
async def test_kubectl_approves_and_denies(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=json.dumps(csr()))
    await kubectl("create", "-f", "-", stdin=json.dumps(csr() | {"metadata": {"name": "bob"}}))

    await kubectl("certificate", "approve", "ann")
    await kubectl("certificate", "deny", "bob")

    shown = await kubectl("get", "csr")
    assert "Approved" in shown
    assert "Denied" in shown
