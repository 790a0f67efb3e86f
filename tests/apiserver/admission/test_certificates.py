"""Which certificates may be asked for, and who approves and signs them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ..conftest import Api

REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client"


def request(group: str, signer: str = CLIENT) -> dict[str, Any]:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, "me")]
    )
    key = ec.generate_private_key(ec.SECP256R1())
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"signerName": signer, "request": pem, "usages": ["client auth"]}
    return {"metadata": {"name": "csr"}, "spec": spec}


async def test_nobody_asks_for_the_masters_group(api: Api) -> None:
    answer = await api("POST", REQUESTS, request("system:masters"))
    assert answer.code == 403
    why = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    assert answer.body["message"].endswith(why)
    await api.make(REQUESTS, request("people"))


async def test_approving_needs_permission_for_the_signer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await api.make(REQUESTS, request("people"))
    approved = {"type": "Approved", "status": "True", "reason": "Test", "message": ""}
    made["status"] = {"conditions": [approved]}

    async def refuse(self: object, *question: object) -> bool:
        return False

    monkeypatch.setattr("kplane.apiserver.admission.context.AdmissionContext.may", refuse)
    answer = await api("PUT", f"{REQUESTS}/csr/approval", made)
    assert answer.code == 403
    assert answer.body["message"].endswith(
        f'user not permitted to approve requests with signerName "{CLIENT}"'
    )
