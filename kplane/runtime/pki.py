"""Certificate authorities and certificates of a cluster, laid out as kubeadm lays them out.

Everything is made once and kept: `ensure` adds what is missing and never overwrites what is still good. Keys
are ECDSA P-256 and readable by their owner only. Certificates live a year, authorities ten.
Elsewhere: renewal (renewal.py), requests to authorities of others (csr.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from kplane.api.clock import Clock, SystemClock
from kplane.runtime import csr
from kplane.runtime.process import Fatal

YEAR = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
BACKDATE = timedelta(minutes=5)
"""Certificates are valid a little earlier than they are made: clocks differ."""

CERTIFICATE_MODE = 0o644

_USAGES = {
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "both": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


@dataclass(frozen=True)
class Request:
    """What a certificate says. `name` is the stem of its files."""

    name: str
    common_name: str
    organizations: Sequence[str] = ()
    usage: Literal["client", "server", "both"] = "client"
    dns_names: Sequence[str] = ()
    ips: Sequence[str] = ()
    authority: str = "ca"


COMPONENTS = (
    Request("admin", "kubernetes-admin", ("kubeadm:cluster-admins",)),
    Request("super-admin", "kubernetes-super-admin", ("system:masters",)),
    Request("kube-scheduler", "system:kube-scheduler"),
    Request("kube-controller-manager", "system:kube-controller-manager"),
    Request("kube-proxy", "system:kube-proxy", ("system:node-proxier",)),
    Request("apiserver-kubelet-client", "kube-apiserver-kubelet-client"),
    Request("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
)
"""Client certificates that every cluster has, under the names that upstream's roles are bound to."""


ETCD = (
    Request("etcd/server", "kplane", (), "both", ("localhost", "kplane"), ("127.0.0.1",), "etcd/ca"),
    Request("etcd/peer", "kplane", (), "both", ("localhost", "kplane"), ("127.0.0.1",), "etcd/ca"),
    Request("etcd/healthcheck-client", "kube-etcd-healthcheck-client", authority="etcd/ca"),
    Request("apiserver-etcd-client", "kube-apiserver-etcd-client", authority="etcd/ca"),
)
"""What an etcd of the cluster's own has, and those that speak to it. It trusts nobody but its authority."""


@dataclass(frozen=True)
class Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def ensure(
    directory: Path, *, server_names: Sequence[str], server_ips: Sequence[str], clock: Clock | None = None
) -> None:
    """Make every authority, key and certificate that is missing in `directory`."""
    clock = clock or SystemClock()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, common_name in (("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca")):
        if not (directory / f"{name}.crt").exists():
            _make_authority(directory, name, common_name, clock.now())
    if not (directory / "sa.key").exists():
        _make_service_account_keys(directory)
    server = Request("apiserver", "kube-apiserver", usage="server", dns_names=server_names, ips=server_ips)
    for request in (server, *COMPONENTS):
        issue(directory, request, clock=clock)


def node_request(node: str, ips: Sequence[str]) -> Request:
    """A kubelet's certificate: client as `system:node:NAME`, and server for logs and exec."""
    return Request(f"kubelet-{node}", f"system:node:{node}", ("system:nodes",), "both", (node,), ips)


def ensure_etcd(
    directory: Path, *, names: Sequence[str] = (), ips: Sequence[str] = (), clock: Clock | None = None
) -> None:
    """Make what an etcd of the cluster's own needs and what is missing of it. `names` and `ips` are those of
    the members that do not listen on loopback alone; all of them share one certificate."""
    (directory / "etcd").mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / "etcd" / "ca.crt").exists():
        _make_authority(directory, "etcd/ca", "etcd-ca", (clock or SystemClock()).now())
    for request in ETCD:
        if request.usage == "both":
            request = replace(
                request, dns_names=_joined(request.dns_names, names), ips=_joined(request.ips, ips)
            )
        issue(directory, request, clock=clock)


def _joined(first: Sequence[str], second: Sequence[str]) -> Sequence[str]:
    return tuple(dict.fromkeys([*first, *second]))


def issue(directory: Path, request: Request, *, clock: Clock | None = None) -> None:
    """Make `name.crt` and `name.key` signed by the request's authority, unless a certificate is there that
    says the same and is valid for another month. Raises Fatal for an authority that cannot be used."""
    now = (clock or SystemClock()).now()
    if _still_good(directory / f"{request.name}.crt", request, now):
        return
    issuer = load_authority(directory, request.authority)
    key = csr.new_key()
    builder = leaf(csr.subject(request.common_name, request.organizations), issuer, key, now).add_extension(
        x509.ExtendedKeyUsage(_USAGES[request.usage]), critical=False
    )
    if alternatives := csr.alternatives(request.dns_names, request.ips):
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    write_private(directory / f"{request.name}.key", csr.key_pem(key))
    write_private(
        directory / f"{request.name}.crt",
        certificate.public_bytes(serialization.Encoding.PEM),
        CERTIFICATE_MODE,
    )


def load_authority(directory: Path, name: str) -> Issuer:
    """Raises Fatal."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Fatal(f"cannot use the authority {directory / name}.crt: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Fatal(f"cannot use the authority {directory / name}.crt: its key is not an ECDSA key")
    return Issuer(certificate, key)


def leaf(
    subject: x509.Name, issuer: Issuer, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    """A certificate for a year that signs no others; usage and names are to be added."""
    return (
        _builder(subject, issuer.certificate.subject, key, now, YEAR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
        )
    )


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file atomically; it never exists with wider permissions than `mode`."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)


def expires(certificate: Path) -> datetime:
    """When a certificate file stops being valid."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.astimezone(UTC)


def _still_good(path: Path, request: Request, now: datetime) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    try:
        present = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        present = []
    wanted = csr.alternatives(request.dns_names, request.ips)
    says_the_same = all(name in present for name in wanted) and certificate.subject == csr.subject(
        request.common_name, request.organizations
    )
    return says_the_same and certificate.not_valid_after_utc > now + RENEW_BEFORE


def _make_authority(directory: Path, name: str, common_name: str, now: datetime) -> None:
    key = csr.new_key()
    subject = csr.subject(common_name)
    certificate = (
        _builder(subject, subject, key, now, 10 * YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(directory / f"{name}.key", csr.key_pem(key))
    write_private(directory / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_service_account_keys(directory: Path) -> None:
    key = csr.new_key()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_private(directory / "sa.pub", public, 0o644)
    write_private(directory / "sa.key", csr.key_pem(key))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        key_encipherment=False, content_commitment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
