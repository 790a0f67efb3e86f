"""Warnings as clients get them: on creation, and on those updates on which upstream repeats them."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..conftest import Answer, Api
from .rules import merged

V1, NAMESPACE = "/api/v1", "/api/v1/namespaces/default"
NET = "/apis/networking.k8s.io/v1/namespaces/default"
CONTAINERS = [{"name": "c", "image": "web:1"}]
LONG = "2001:DB8:0::1"
CANONICAL = f'IPv6 address "{LONG}" should be in RFC 5952 canonical format ("2001:db8::1")'
LABEL = "a DNS label is recommended: [must not contain dots]"
FRACTION = 'fractional byte value "1500m" is invalid, must be an integer'
PART = {"requests": {"storage": "1500m"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": PART}
SELECTOR = {"matchLabels": {"a": "b"}}
WORKLOAD = {"selector": SELECTOR, "template": {"metadata": {"labels": {"a": "b"}},
                                               "spec": {"containers": CONTAINERS}}}  # fmt: skip


def warned(answer: Answer) -> list[str]:
    assert answer.code < 300, answer.body
    header = answer.headers.get("warning", "")
    return [text.replace('\\"', '"') for text in re.findall(r'299 - "((?:[^"\\]|\\.)*)"', header)]


async def written(api: Api, path: str, body: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is warned of when an object is created, and when a label of it changes."""
    body = merged({"metadata": {"name": "one"}}, body)
    made = await api("POST", path, body)
    texts = warned(made)
    place = f"{path}/{body['metadata']['name']}"
    return texts, warned(await api("PUT", place, merged(made.body, {"metadata": {"labels": {"c": "d"}}})))


ALWAYS = [
    pytest.param(f"{NAMESPACE}/services",
        {"spec": {"ports": [{"port": 80}], "externalIPs": [LONG]}},
        [f"spec.externalIPs[0]: {CANONICAL}",
         "spec.externalIPs is deprecated and may no longer be implemented in some clusters"], id="service"),
    pytest.param(f"{NAMESPACE}/endpoints", {"subsets": [{"addresses": [{"ip": LONG}]}]},
        [f"subsets[0].addresses[0].ip: {CANONICAL}"], id="endpoints"),
    pytest.param(f"{NAMESPACE}/persistentvolumeclaims",
        {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}, "spec": CLAIM},
        ['metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use'
         ' "storageClassName" attribute instead', f"spec.resources.requests[storage]: {FRACTION}"],
        id="claim"),
    pytest.param(f"{V1}/nodes", {"spec": {"externalID": "a", "podCIDRs": ["2001:DB8::/64"],
        "podCIDR": "2001:DB8::/64"}},
        ["spec.externalID: this field is deprecated, and is unused by Kubernetes",
         'spec.podCIDRs[0]: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952 canonical format'
         ' ("2001:db8::/64")'], id="node"),
    pytest.param(f"{NET}/networkpolicies",
        {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "2001:DB8::/64"}}]}]}},
        ['spec.ingress[0].from[0].ipBlock.cidr: IPv6 CIDR value "2001:DB8::/64" should be in RFC 5952'
         ' canonical format ("2001:db8::/64")'], id="policy"),
    pytest.param(f"{NAMESPACE}/secrets", {"type": "kubernetes.io/tls",
        "stringData": {"tls.crt": "", "tls.key": ""}},
        ["tls: failed to find any PEM data in certificate input"], id="secret"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "texts"), ALWAYS)
async def test_every_write_warns(api: Api, path: str, body: dict[str, Any], texts: list[str]) -> None:
    created, updated = await written(api, path, body)

    # Endpoints themselves are deprecated, which another test is about.
    assert [text for text in created if "v1 Endpoints" not in text] == texts
    assert [text for text in updated if "v1 Endpoints" not in text] == texts


ONCE = [
    pytest.param(f"{NET}/ingresses",
        {"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}},
         "spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}},
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName'"
         " instead"], id="ingress"),
    pytest.param(f"{NAMESPACE}/serviceaccounts",
        {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}},
        ["metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer"
         " separate namespaces to isolate access to mounted secrets"], id="account"),
    pytest.param("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        {"addressType": "FQDN", "endpoints": []},
        ["spec.addressType: FQDN endpoints are deprecated"], id="slice"),
    pytest.param("/apis/apps/v1/namespaces/default/deployments",
        {"metadata": {"name": "a.b"}, "spec": WORKLOAD},
        ["metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior;"
         f" {LABEL}"], id="deployment"),
    pytest.param("/apis/apps/v1/namespaces/default/statefulsets",
        {"spec": WORKLOAD | {"revisionHistoryLimit": -1, "volumeClaimTemplates": [
            {"metadata": {"name": "data"}, "spec": CLAIM}]}},
        [f"spec.volumeClaimTemplates[0].resources.requests[storage]: {FRACTION}",
         "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is"
         " recommended"], id="statefulset"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "texts"), ONCE)
async def test_an_update_that_changes_nothing_of_it_does_not_warn(
    api: Api, path: str, body: dict[str, Any], texts: list[str]
) -> None:
    assert await written(api, path, body) == (texts, [])


async def test_pods_warn_of_files_that_hide_each_other(api: Api) -> None:
    def files(*paths: str) -> list[dict[str, str]]:
        return [{"key": "k", "path": path} for path in paths]

    token = {"serviceAccountToken": {"path": "a/token"}}
    volumes = [
        {"name": "m", "configMap": {"name": "x", "items": files("a", "a/b")}},
        {"name": "p", "projected": {"sources": [
            {"secret": {"name": "s", "items": files("a/token")}}, {}, token]}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}},
    ]  # fmt: skip
    body = {"metadata": {"name": "one", "annotations": {
        "seccomp.security.alpha.kubernetes.io/pod": "x",
        "container.seccomp.security.alpha.kubernetes.io/c": "x"}},
        "spec": {"containers": CONTAINERS, "volumes": volumes, "serviceAccountName": "default"}}  # fmt: skip
    answer = await api("POST", f"{NAMESPACE}/pods", body, dryRun="All")
    none = 'non-functional in v1.27+; use the "seccompProfile" field instead'

    assert warned(answer) == [
        "spec.volumes[2].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: " + FRACTION,
        'volume "m" (ConfigMap "x"): overlapping paths: "a/b" with "a"',
        'volume "p" (Projected) has no sources provided',
        'volume "p" (Projected ServiceAccountToken): overlapping paths: "a/token" with "a/token"',
        f"metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: {none}",
        f"metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: {none}",
    ]


async def test_statuses_warn_of_addresses(api: Api) -> None:
    service = {"metadata": {"name": "one"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    made = await api.make(f"{NAMESPACE}/services", service)
    balanced = merged(made, {"status": {"loadBalancer": {"ingress": [{"ip": LONG}]}}})
    pod = await api.make(
        f"{NAMESPACE}/pods", {"metadata": {"name": "one"}, "spec": {"containers": CONTAINERS}}
    )
    running = merged(pod, {"status": {"podIP": LONG, "podIPs": [{"ip": LONG}]}})

    of_service = warned(await api("PUT", f"{NAMESPACE}/services/one/status", balanced))
    of_pod = warned(await api("PUT", f"{NAMESPACE}/pods/one/status", running))

    assert of_service == [f"status.loadBalancer.ingress[0]: {CANONICAL}"]
    assert of_pod == [f"status.podIPs[0].ip: {CANONICAL}"]


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("externalIPs", "010.0.0.1", "must not have leading 0s"),
        ("externalIPs", "::ffff:10.0.0.1", "must not be an IPv4-mapped IPv6 address"),
        ("externalIPs", "10.0.0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("loadBalancerSourceRanges", "10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("loadBalancerSourceRanges", "10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("loadBalancerSourceRanges", "::ffff:10.0.0.0/104", "must not have an IPv4-mapped IPv6 address"),
        ("loadBalancerSourceRanges", "10.0.0.0/255.0.0.0",
         "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
    ],
)  # fmt: skip
async def test_addresses_of_ambiguous_form_are_refused(api: Api, place: str, text: str, message: str) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}], place: [text]}

    answer = await api("POST", f"{NAMESPACE}/services", {"metadata": {"name": "one"}, "spec": spec})

    (cause,) = answer.body["details"]["causes"]
    assert cause["message"] == f'Invalid value: "{text}": {message}'


def self_signed(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


async def test_a_certificate_and_a_key_belong_together(api: Api) -> None:
    own, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(own)

    def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    async def kept(crt: bytes, key: bytes) -> list[str]:
        data = {"tls.crt": b64encode(crt).decode(), "tls.key": b64encode(key).decode()}
        body = {"metadata": {"name": "one"}, "type": "kubernetes.io/tls", "data": data}
        return warned(await api("POST", f"{NAMESPACE}/secrets", body, dryRun="All"))

    assert await kept(certificate, pem(own)) == []
    assert await kept(certificate, pem(other)) == ["tls: private key does not match public key"]
    assert await kept(certificate, certificate) == [
        "tls: found a certificate rather than a key in the PEM for the private key"
    ]
    assert await kept(pem(own), pem(own)) == [
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM"
        " inputs may have been switched"
    ]
    broken = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert await kept(certificate, broken) == ["tls: failed to parse private key"]


async def test_a_change_of_labels_is_a_generation_of_endpoint_slices(api: Api) -> None:
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    body = {"metadata": {"name": "one"}, "addressType": "IPv4", "endpoints": [
        {"addresses": ["192.0.2.1"], "deprecatedTopology": {"a": "b"}}]}  # fmt: skip
    made = await api.make(path, body)
    annotated = (
        await api("PUT", f"{path}/one", merged(made, {"metadata": {"annotations": {"a": "b"}}}))
    ).body
    relabelled = (
        await api("PUT", f"{path}/one", merged(annotated, {"metadata": {"labels": {"a": "b"}}}))
    ).body

    assert "deprecatedTopology" not in made["endpoints"][0]
    assert [obj["metadata"]["generation"] for obj in (made, annotated, relabelled)] == [1, 1, 2]
