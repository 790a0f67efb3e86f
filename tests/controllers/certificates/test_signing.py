"""Signing: what each signer signs, for how long, and what it refuses."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kplane.api.resource import Key, Object
from kplane.controllers.certificates.authority import Authority
from kplane.controllers.certificates.request import SigningRequest
from kplane.controllers.certificates.signing import (
    CLIENT,
    KUBELET_CLIENT,
    LEGACY,
    SERVING,
    CSRSigningController,
)
from kplane.controllers.config import Config, parse
from kplane.controllers.registry import worker_flags
from kplane.runtime.process import Fatal
from kplane.testing.cluster import FakeCluster

from .requests import APPROVED, SERVING_USAGES, authority, config, issued, make_request


async def sign(cluster: FakeCluster, options: Config, request: Object) -> SigningRequest:
    """The request after the controller has looked at it."""
    cluster.load(request)
    await CSRSigningController(cluster.context(options=options)).reconcile(Key("", "req"))
    found = cluster.get(SigningRequest, Key("", "req"))
    assert found is not None
    return found


async def test_an_approved_request_becomes_a_certificate_of_the_authority(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    ca = authority(tmp_path, cluster.clock)

    request = await sign(cluster, config(tmp_path), make_request(status=APPROVED))

    made = issued(request.status.certificate)
    made.verify_directly_issued_by(ca)
    assert made.subject.rfc4514_string() == "CN=system:node:worker,O=system:nodes"
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    now = cluster.clock.now()
    assert made.not_valid_before_utc == now - timedelta(minutes=5)
    assert made.not_valid_after_utc == now + timedelta(days=365) - timedelta(minutes=5)
    assert request.has("Approved")


async def test_a_serving_certificate_keeps_its_names(cluster: FakeCluster, tmp_path: Path) -> None:
    authority(tmp_path, cluster.clock)
    request = make_request(
        signer=SERVING, usages=SERVING_USAGES, dns_names=["worker"], ips=["192.0.2.7"], status=APPROVED
    )

    made = issued((await sign(cluster, config(tmp_path), request)).status.certificate)

    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


@pytest.mark.parametrize("named", [b"\x01" * 20, None])
async def test_the_authority_is_named_as_its_own_certificate_names_it(
    cluster: FakeCluster, tmp_path: Path, named: bytes | None
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    now = cluster.clock.now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=999))
    if named is not None:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(named), critical=False)
    made = builder.sign(key, hashes.SHA256())
    signed = Authority(made, key).sign(asked(), ["client auth"], timedelta(hours=1), now)

    extensions = x509.load_pem_x509_certificate(signed).extensions
    found = [entry.value for entry in extensions if isinstance(entry.value, x509.AuthorityKeyIdentifier)]
    assert [entry.key_identifier for entry in found] == ([named] if named else [])


def asked() -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr(base64.b64decode(make_request()["spec"]["request"]))


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(3600, 3600, id="short lives are not cut"),
        pytest.param(24 * 3600, 24 * 3600 - 300, id="long ones end earlier by the backdate"),
        pytest.param(10**9, 48 * 3600 - 300, id="never longer than the signer allows"),
        pytest.param(30, 600, id="never shorter than ten minutes"),
    ],
)
async def test_the_life_asked_for_is_given_within_limits(
    cluster: FakeCluster, tmp_path: Path, asked: int, seconds: int
) -> None:
    authority(tmp_path, cluster.clock)
    options = config(tmp_path, cluster_signing_duration=48 * 3600.0)

    request = await sign(cluster, options, make_request(status=APPROVED, expirationSeconds=asked))

    made = issued(request.status.certificate)
    assert made.not_valid_after_utc == cluster.clock.now() + timedelta(seconds=seconds)


async def test_no_certificate_outlives_its_authority(cluster: FakeCluster, tmp_path: Path) -> None:
    ca = authority(tmp_path, cluster.clock)
    options = config(tmp_path, cluster_signing_duration=20 * 365 * 24 * 3600.0)

    request = await sign(cluster, options, make_request(status=APPROVED))

    assert issued(request.status.certificate).not_valid_after_utc == ca.not_valid_after_utc


USAGES = "usages did not match [client auth digital signature key encipherment]"
DNS: dict[str, Any] = {"dns_names": ["worker"]}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param({"organizations": ()}, "subject organization is not system:nodes", id="organization"),
        pytest.param(
            {"organizations": ("system:nodes", "system:masters")},
            "subject organization is not system:nodes",
            id="second organization",
        ),
        pytest.param(
            {"common_name": "admin"}, "subject common name does not begin with system:node:", id="name"
        ),
        pytest.param(DNS, "DNS subjectAltNames are not allowed", id="dns"),
        pytest.param({"ips": ["192.0.2.7"]}, "IP subjectAltNames are not allowed", id="ip"),
        pytest.param({"usages": ["server auth"]}, USAGES, id="usages"),
        pytest.param(
            {"signer": SERVING, "usages": SERVING_USAGES},
            "DNS or IP subjectAltName is required",
            id="serving without names",
        ),
        pytest.param(
            {"signer": SERVING, **DNS},
            "usages did not match [digital signature key encipherment server auth]",
            id="serving usages",
        ),
        pytest.param(
            {"signer": CLIENT, "usages": ["client auth", "server auth"]},
            "invalid usage for client certificate: server auth",
            id="api client usage",
        ),
        pytest.param(
            {"signer": CLIENT, "usages": ["digital signature"]},
            "missing required usage for client certificate: client auth",
            id="api client without client auth",
        ),
    ],
)
async def test_what_a_signer_does_not_sign_fails_with_the_reason(
    cluster: FakeCluster, tmp_path: Path, parts: dict[str, Any], message: str
) -> None:
    authority(tmp_path, cluster.clock)

    request = await sign(cluster, config(tmp_path), make_request(status=APPROVED, **parts))

    assert request.status.certificate == ""
    failed = request.status.conditions[-1]
    assert (failed.type, failed.status, failed.reason) == ("Failed", "True", "SignerValidationFailure")
    assert failed.message == message
    assert request.has("Approved")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(make_request(), id="pending"),
        pytest.param(
            make_request(status={"conditions": [{"type": "Denied", "status": "True"}]}), id="denied"
        ),
        pytest.param(
            make_request(
                status={"conditions": [*APPROVED["conditions"], {"type": "Failed", "status": "True"}]}
            ),
            id="failed",
        ),
        pytest.param(make_request(signer="example.com/other", status=APPROVED), id="another's"),
    ],
)
async def test_other_requests_are_left_alone(cluster: FakeCluster, tmp_path: Path, request_: Object) -> None:
    authority(tmp_path, cluster.clock)

    request = await sign(cluster, config(tmp_path), request_)

    assert request.status.certificate == ""
    assert len(request.status.conditions) == len(request_["status"].get("conditions", []))


async def test_a_renewed_authority_signs_from_then_on(cluster: FakeCluster, tmp_path: Path) -> None:
    authority(tmp_path / "old", cluster.clock)
    new = authority(tmp_path / "new", cluster.clock)
    cluster.load(make_request(status=APPROVED))
    controller = CSRSigningController(cluster.context(options=config(tmp_path / "old")))

    for name in ("ca.key", "ca.crt"):
        (tmp_path / "new" / name).replace(tmp_path / "old" / name)
    await controller.reconcile(Key("", "req"))

    found = cluster.get(SigningRequest, Key("", "req"))
    assert found is not None
    issued(found.status.certificate).verify_directly_issued_by(new)


async def test_an_authority_that_has_ended_signs_nothing_until_it_is_renewed(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    authority(tmp_path / "ca", cluster.clock)
    await cluster.clock.advance(timedelta(days=11 * 365).total_seconds())
    new = authority(tmp_path / "new", cluster.clock)
    cluster.load(make_request(status=APPROVED))
    context = cluster.context(options=config(tmp_path / "ca"))
    cluster.start(context.queue.run(CSRSigningController(context).reconcile))
    await cluster.advance(1)
    found = cluster.get(SigningRequest, Key("", "req"))
    assert found is not None
    assert found.status.certificate == ""

    for name in ("ca.key", "ca.crt"):
        (tmp_path / "new" / name).replace(tmp_path / "ca" / name)
    await cluster.advance(10)

    found = cluster.get(SigningRequest, Key("", "req"))
    assert found is not None
    issued(found.status.certificate).verify_directly_issued_by(new)


def flags(*argv: str) -> Config:
    return parse(argv, worker_flags())


def test_each_signer_can_have_its_own_authority() -> None:
    made = flags(
        "--cluster-signing-kubelet-client-cert-file=a.crt", "--cluster-signing-kubelet-client-key-file=a.key"
    )

    assert made.signing_files == {KUBELET_CLIENT: (Path("a.crt"), Path("a.key"))}


def test_one_authority_serves_all_signers() -> None:
    made = flags("--cluster-signing-cert-file=a.crt", "--cluster-signing-key-file=a.key")

    assert set(made.signing_files) == {SERVING, KUBELET_CLIENT, CLIENT, LEGACY}


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--cluster-signing-cert-file=a.crt"], id="no key"),
        pytest.param(
            [
                "--cluster-signing-cert-file=a",
                "--cluster-signing-key-file=a",
                "--cluster-signing-legacy-unknown-cert-file=b",
                "--cluster-signing-legacy-unknown-key-file=b",
            ],
            id="default and own",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_told(argv: Sequence[str]) -> None:
    with pytest.raises(Fatal, match="--cluster-signing-"):
        flags(*argv)
