"""Trust bundles and certificates for Pods over HTTP: what they must be, and what stays."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from ..conftest import Api
from .rules import INVALID, REQUIRED, UNSUPPORTED, merged, one, refused_creations, refused_updates

BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"
REQUESTS = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
SIGNER = "example.com/signer"
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(key: ec.EllipticCurvePrivateKey = KEY, *, ca: bool = True, hours: int = 24) -> str:
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1, BEGIN, BEGIN + timedelta(hours=hours))
    signed = builder.add_extension(x509.BasicConstraints(ca, None), critical=True).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def request(key: Any = KEY) -> str:
    signed = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    return b64encode(signed.public_bytes(Encoding.DER)).decode()


async def test_bundles_hold_authorities_and_are_named_for_their_signer(api: Api) -> None:
    anchor = certificate()
    base = {
        "metadata": {"name": "example.com:signer:one"},
        "spec": {"signerName": SIGNER, "trustBundle": anchor},
    }
    bundle, omitted = "spec.trustBundle", 'Invalid value: "<value omitted>": '
    changes = {
        "name": {"metadata": {"name": "one"}},
        "own": {"metadata": {"name": "one"}, "spec": {"signerName": None}},
        "colon": {"spec": {"signerName": None}},
        "signer": {"metadata": {"name": "a:b"}, "spec": {"signerName": "a/b"}},
        "empty": {"spec": {"trustBundle": "nothing"}},
        "twice": {"spec": {"trustBundle": anchor + anchor}},
        "leaf": {"spec": {"trustBundle": anchor + certificate(ca=False)}},
        "other": {"spec": {"trustBundle": anchor.replace("CERTIFICATE", "PUBLIC KEY")}},
        "broken": {"spec": {"trustBundle": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}},
    }

    found = await refused_creations(api, BUNDLES, base, changes)

    name = "metadata.name"
    assert [cause[0] for cause in found.pop("signer")] == [name, "spec.signerName"]
    assert found == {
        "name": one(name, INVALID, 'Invalid value: "one": ClusterTrustBundle for signerName'
            " example.com/signer must be named with prefix example.com:signer:"),
        "own": [],
        "colon": one(name, INVALID, 'Invalid value: "example.com:signer:one": ClusterTrustBundle without'
            ' signer name must not have ":" in its name'),
        "empty": one(bundle, INVALID, f"{omitted}at least one trust anchor must be provided"),
        "twice": one(bundle, INVALID, f"{omitted}duplicate trust anchor (indices [0 1])"),
        "leaf": one(bundle, INVALID, f"{omitted}entry 1 does not have the CA bit set"),
        "other": one(bundle, INVALID, f"{omitted}entry 0 has bad block type: PUBLIC KEY"),
        "broken": one(bundle, INVALID, f"{omitted}entry 0 does not parse as X.509"),
    }  # fmt: skip
    kept = await refused_updates(
        api, BUNDLES, base, {"signer": {"spec": {"signerName": "example.com/other"}}}
    )
    assert ("spec.signerName", INVALID) in [cause[:2] for cause in kept["signer"]]


ASKED: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {
        "signerName": SIGNER, "podName": "web", "podUID": "u", "serviceAccountName": "default",
        "serviceAccountUID": "v", "nodeName": "node-1", "nodeUID": "w", "stubPKCS10Request": request(),
    },
}  # fmt: skip


@pytest.mark.slow
async def test_requests_name_their_pod_and_prove_their_key(api: Api) -> None:
    small = rsa.generate_private_key(65537, 2048)
    changes = {
        "signer": {"spec": {"signerName": "a"}},
        "uids": {"spec": {"podUID": "", "nodeUID": ""}},
        "short": {"spec": {"maxExpirationSeconds": 60}},
        "own signer": {"spec": {"signerName": "kubernetes.io/a", "maxExpirationSeconds": 86401}},
        "no request": {"spec": {"stubPKCS10Request": "AAAA"}},
        "modulus": {"spec": {"stubPKCS10Request": request(small)}},
    }

    found = await refused_creations(api, REQUESTS, ASKED, changes)

    stub, seconds, omitted = "spec.stubPKCS10Request", "spec.maxExpirationSeconds", '"<value omitted>"'
    assert found == {
        "signer": one("spec.signerName", INVALID, 'Invalid value: "a": must be a fully qualified domain and'
            " path of the form 'example.com/signer-name'"),
        "uids": [("spec.podUID", INVALID, 'Invalid value: "": must not be empty'),
                 ("spec.nodeUID", INVALID, 'Invalid value: "": must not be empty')],
        "short": one(seconds, INVALID, "Invalid value: 60: must be in the range [3600, 7862400]"),
        "own signer": one(seconds, INVALID, "Invalid value: 86401: must be in the range [3600, 86400]"),
        "no request": one(stub, INVALID,
            f"Invalid value: {omitted}: must be a valid PKCS#10 certificate signing request"),
        "modulus": one(stub, INVALID,
            f"Invalid value: {omitted}: RSA keys must have modulus size 3072 or 4096"),
    }  # fmt: skip


def decided(kind: str, **fields: Any) -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime":
                 "2026-01-01T00:00:00Z"}  # fmt: skip
    return {"status": {"conditions": [condition], **fields}}


async def test_a_decision_holds_what_it_says_and_stays(api: Api) -> None:
    times = {"notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-01-02T00:00:00Z",
             "beginRefreshAt": "2026-01-01T12:00:00Z"}  # fmt: skip
    chain, other = certificate(), certificate(ec.generate_private_key(ec.SECP256R1()))
    changes = {
        "kind": decided("Approved"),
        "denied": decided("Denied", certificateChain=chain),
        "empty": decided("Issued"),
        "other": decided("Issued", certificateChain=other, **times),
        "times": decided("Issued", certificateChain=chain),
        "wrong time": decided("Issued", certificateChain=chain, **times | {"notAfter": times["notBefore"]}),
        "long": decided("Issued", certificateChain=certificate(hours=25),
            **times | {"notAfter": "2026-01-02T01:00:00Z"}),
        "late": decided("Issued", certificateChain=chain, **times | {"beginRefreshAt": times["notAfter"]}),
        "sound": decided("Issued", certificateChain=chain, **times),
    }  # fmt: skip

    found = await refused_updates(api, REQUESTS, ASKED, changes, subresource="status")
    place = f"{REQUESTS}/one"
    made = (await api("GET", place)).body
    issued = await api("PUT", f"{place}/status", merged(made, changes["sound"]))
    again = await api("PUT", f"{place}/status", merged(issued.body, {"status": {"certificateChain": ""}}))

    assert found["sound"] == []
    assert {name: [cause[:2] for cause in causes] for name, causes in found.items()} == {
        "kind": [("status.conditions.[0].type", UNSUPPORTED)],
        "denied": [("status", INVALID)],
        "empty": [("status.certificateChain", INVALID)],
        "other": [("status.certificateChain", INVALID)],
        "times": [(f"status.{name}", REQUIRED) for name in ("notBefore", "notAfter", "beginRefreshAt")],
        "wrong time": [("status.notAfter", INVALID)],
        "long": [("status.certificateChain", INVALID)],
        "late": [("status.beginRefreshAt", INVALID)],
        "sound": [],
    }
    assert again.code == 422
    assert "immutable after PodCertificateRequest is issued, denied, or failed" in again.body["message"]
