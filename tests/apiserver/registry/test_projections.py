"""Projected volumes over HTTP: tokens, bundles and certificates beside files, each in a place of its own."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api
from .rules import FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, one, refused_creations

PODS = "/api/v1/namespaces/default/pods"
SIGNER = "example.com/signer"
HERE = "spec.volumes[0].projected"
FIRST = f"{HERE}.sources[0]"


def projecting(*sources: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"volumes": [{"name": "v", "projected": {"sources": list(sources)}}]}}


def bundle(**fields: Any) -> dict[str, Any]:
    return projecting({"clusterTrustBundle": {"path": "ca.pem"} | fields})


def certificate(**fields: Any) -> dict[str, Any]:
    sound = {"signerName": SIGNER, "keyType": "ED25519", "credentialBundlePath": "bundle.pem"}
    return projecting({"podCertificate": sound | fields})


POD: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {
        "containers": [{"name": "c", "image": "web:1"}],
        "serviceAccountName": "default",
        **bundle(name="example.com:signer:one")["spec"],
    },
}


@pytest.mark.slow
async def test_projected_sources_are_refused_for_what_they_say(api: Api) -> None:
    files = {"items": [{"key": "k", "path": "a"}]}
    changes = {
        "token": projecting({"serviceAccountToken": {"path": "", "expirationSeconds": 60}}),
        "two": projecting({"secret": {"name": "s"}, "configMap": {"name": "m"}}),
        "same file": projecting({"secret": {"name": "s"} | files}, {"configMap": {"name": "m"} | files}),
        "no bundle": bundle(),
        "both": bundle(name="a", signerName=SIGNER),
        "selected by name": bundle(name="a", labelSelector={}),
        "bundle name": bundle(name="A"),
        "no path": bundle(name="a", path=""),
        "outside": bundle(name="a", path="../ca.pem"),
        "signed": bundle(signerName=SIGNER, labelSelector={"matchLabels": {"live": "yes"}}),
        "certificate": certificate(),
        "key": certificate(keyType="DSA"),
        "nowhere": certificate(credentialBundlePath=None),
        "short": certificate(maxExpirationSeconds=60),
        "own signer": certificate(signerName="kubernetes.io/kube-apiserver-client-pod",
            maxExpirationSeconds=86401),
        "one place": certificate(keyPath="bundle.pem"),
    }  # fmt: skip

    found = await refused_creations(api, PODS, POD, changes)

    both = found.pop("both")
    assert [cause[:2] for cause in both] == [(f"{FIRST}.clusterTrustBundle", INVALID)]
    assert [cause[:2] for cause in found.pop("bundle name")] == [
        (f"{FIRST}.clusterTrustBundle.name", INVALID)
    ]
    trust, pod = f"{FIRST}.clusterTrustBundle", f"{FIRST}.podCertificate"
    seconds = f"{pod}.maxExpirationSeconds"
    assert found == {
        "token": [
            (f"{FIRST}.serviceAccountToken.path", REQUIRED, "Required value"),
            (f"{FIRST}.serviceAccountToken.expirationSeconds", INVALID,
             "Invalid value: 60: may not specify a duration less than 10 minutes"),
        ],
        "two": one(FIRST, FORBIDDEN, "Forbidden: may not specify more than 1 volume type per source"),
        "same file": one(HERE, INVALID, 'Invalid value: "m": conflicting duplicate paths'),
        "no bundle": one(trust, REQUIRED,
            "Required value: either name or signerName must be specified"),
        "selected by name": one(f"{trust}.labelSelector", INVALID,
            "Invalid value: {}: labelSelector must be unset if name is specified"),
        "no path": one(f"{trust}.path", REQUIRED, "Required value"),
        "outside": one(f"{trust}.path", INVALID, "Invalid value: \"../ca.pem\": must not contain '..'"),
        "signed": [],
        "certificate": [],
        "key": one(f"{pod}.keyType", UNSUPPORTED, 'Unsupported value: "DSA": supported values: "RSA3072",'
            ' "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"'),
        "nowhere": one(pod, REQUIRED, "Required value: specify at least one of credentialBundlePath,"
            " keyPath, and certificateChainPath"),
        "short": one(seconds, INVALID,
            "Invalid value: 60: if provided, maxExpirationSeconds must be >= 3600"),
        "own signer": one(seconds, INVALID,
            "Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400"),
        "one place": one(HERE, INVALID, 'Invalid value: "bundle.pem": conflicting duplicate paths'),
    }  # fmt: skip
