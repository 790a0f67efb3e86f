"""Whom a client certificate names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kplane.runtime.authorities import USER_ID, Untrusted
from kplane.runtime.delegation.users import user_of

KEY = ec.generate_private_key(ec.SECP256R1())
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(*attributes: x509.NameAttribute[str]) -> x509.Certificate:
    subject = x509.Name(attributes)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )


def named(name: str = "ann", groups: Sequence[str] = (), uids: Sequence[str] = ()) -> x509.Certificate:
    return certificate(
        *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
        *(x509.NameAttribute(USER_ID, uid) for uid in uids),
        x509.NameAttribute(NameOID.COMMON_NAME, name),
    )


def test_name_groups_and_uid_are_the_users() -> None:
    made = named(groups=["dev", "ops"], uids=["7-8"])

    user = user_of(made, made.public_bytes(serialization.Encoding.DER))

    assert user is not None
    assert (user.name, user.uid, user.groups) == ("ann", "7-8", ("dev", "ops", "system:authenticated"))
    nameless = user_of(named(), b"")
    assert nameless is not None
    assert nameless.uid == ""


def test_who_has_two_uids_is_nobody() -> None:
    with pytest.raises(Untrusted, match=r"expected 1 UID, but found multiple: \[7 8\]"):
        user_of(named(uids=["7", "8"]), b"")
