"""PKI: what `ensure` makes, how it is protected, and that it is made once."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kplane.api.clock import SystemClock
from kplane.runtime import pki


@dataclass
class VirtualClock(SystemClock):
    moment: datetime

    def now(self) -> datetime:
        return self.moment


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "pki"
    pki.ensure(made, server_names=["kubernetes"], server_ips=["10.96.0.1"])
    return made


def certificate(directory: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())


def test_keys_are_readable_by_their_owner_only(directory: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.glob("*.key")}

    assert modes == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_every_component_certificate_is_signed_for_clients_only(directory: Path) -> None:
    for request in pki.COMPONENTS:
        made = certificate(directory, request.name)
        made.verify_directly_issued_by(certificate(directory, request.authority))
        usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_serving_certificate_names_the_service(directory: Path) -> None:
    names = certificate(directory, "apiserver").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )

    assert names.value.get_values_for_type(x509.DNSName) == ["kubernetes"]
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["10.96.0.1"]


def test_node_certificate_carries_the_node_identity(directory: Path) -> None:
    pki.issue(directory, pki.node_request("worker-1", ["127.0.0.1"]))

    subject = certificate(directory, "kubelet-worker-1").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:worker-1"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"


def test_second_ensure_changes_nothing(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    pki.ensure(directory, server_names=["kubernetes"], server_ips=[])

    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_certificate_that_lacks_a_name_is_issued_anew(tmp_path: Path) -> None:
    pki.ensure(tmp_path, server_names=["kubernetes"], server_ips=["10.0.0.1"])
    authority = (tmp_path / "ca.crt").read_bytes()

    pki.ensure(tmp_path, server_names=["kubernetes"], server_ips=["10.0.0.2"])

    names = certificate(tmp_path, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["10.0.0.2"]
    assert (tmp_path / "ca.crt").read_bytes() == authority


def test_certificate_that_ends_soon_is_issued_anew(tmp_path: Path) -> None:
    clock = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    pki.ensure(tmp_path, server_names=["kubernetes"], server_ips=[], clock=clock)
    first = pki.expires(tmp_path / "admin.crt")

    clock.moment += timedelta(days=340)
    pki.ensure(tmp_path, server_names=["kubernetes"], server_ips=[], clock=clock)

    assert pki.expires(tmp_path / "admin.crt") - first == timedelta(days=340)
