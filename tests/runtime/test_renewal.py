"""Renewal: a new certificate says what the former one said, for a new key."""

from __future__ import annotations

import stat
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from kplane.runtime import pki, renewal
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def folder(tmp_path: Path, clock: VirtualClock) -> Path:
    made = tmp_path / "pki"
    pki.ensure(made, server_names=["kubernetes"], server_ips=["10.96.0.1"], clock=clock)
    pki.ensure_etcd(made, clock=clock)
    return made


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("name", ["apiserver", "admin", "front-proxy-client", "etcd/server"])
async def test_a_renewed_certificate_says_the_same_and_lives_on(
    folder: Path, clock: VirtualClock, name: str
) -> None:
    former = load(folder / f"{name}.crt")
    await clock.advance(timedelta(days=100).total_seconds())

    renewal.renew(folder, name, clock)

    made = load(folder / f"{name}.crt")
    assert made.subject == former.subject
    for kind in (x509.ExtendedKeyUsage, x509.KeyUsage, x509.BasicConstraints):
        assert made.extensions.get_extension_for_class(kind) == former.extensions.get_extension_for_class(
            kind
        )
    assert made.not_valid_after_utc - former.not_valid_after_utc == timedelta(days=100)
    assert made.public_key() != former.public_key()
    key = load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    assert key.public_key() == made.public_key()
    authority = next(held.authority for held in renewal.held(folder) if held.name == name)
    made.verify_directly_issued_by(load(folder / f"{authority}.crt"))
    assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600


def test_names_of_servers_are_kept(folder: Path, clock: VirtualClock) -> None:
    former = load(folder / "apiserver.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)

    renewal.renew(folder, "apiserver", clock)

    made = load(folder / "apiserver.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert made == former


def test_every_certificate_is_told_with_its_authority(folder: Path, clock: VirtualClock) -> None:
    found = {held.name: held for held in renewal.held(folder)}

    assert found["etcd/peer"].authority == found["apiserver-etcd-client"].authority == "etcd/ca"
    assert found["front-proxy-client"].authority == "front-proxy-ca"
    assert found["apiserver"].authority == "ca"
    assert {name for name, held in found.items() if held.is_authority} == {"ca", "etcd/ca", "front-proxy-ca"}
    assert found["admin"].expires.astimezone(UTC) == clock.now() + timedelta(days=365)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("missing", "there is no certificate missing", id="missing"),
        pytest.param("ca", "there is no certificate ca to renew", id="authority"),
    ],
)
def test_what_cannot_be_renewed_is_told(folder: Path, name: str, text: str) -> None:
    with pytest.raises(Fatal, match=text):
        renewal.renew(folder, name)


def test_without_the_authoritys_key_nothing_is_renewed(folder: Path) -> None:
    (folder / "ca.key").unlink()
    before = (folder / "admin.crt").read_bytes()

    with pytest.raises(Fatal, match="the key of the authority that issued it is not here"):
        renewal.renew(folder, "admin")

    assert (folder / "admin.crt").read_bytes() == before


def test_etcd_trusts_no_other_authority_of_the_cluster(folder: Path) -> None:
    server, client = load(folder / "etcd/server.crt"), load(folder / "apiserver-etcd-client.crt")

    assert server.issuer == client.issuer == load(folder / "etcd/ca.crt").subject
    usages = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    # etcd's server speaks to itself as a client too.
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_folder_with_a_broken_certificate_is_told(folder: Path) -> None:
    (folder / "admin.crt").write_text("broken")

    with pytest.raises(Fatal, match="cannot read the certificate"):
        renewal.held(folder)
