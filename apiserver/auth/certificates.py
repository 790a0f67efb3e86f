"""Client certificates as identities of users: common name, organisations and uid.

Elsewhere: which certificates are good (`kplane.runtime.authorities`).
"""

from __future__ import annotations

from hashlib import sha256

from cryptography import x509
from cryptography.x509.oid import NameOID

from kplane.runtime.authorities import Authorities, Untrusted, user_id

from .identity import Credentials, Refused
from .user import CREDENTIAL_ID, User, authenticated

_KNOWN = 4096


def verified(authorities: Authorities, der: bytes) -> x509.Certificate:
    """The certificate, if it is good now. Raises Refused."""
    try:
        return authorities.verified(der)
    except Untrusted as error:
        raise Refused(str(error)) from error


class ClientCertificates:
    """Common name is the user, organisations are the groups; an attribute of Kubernetes' own is the uid."""

    def __init__(self, authorities: Authorities) -> None:
        self._authorities = authorities
        self._users: dict[bytes, User | None] = {}
        """What a certificate says does not change; whether it is good does."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        der = credentials.certificate
        if der is None:
            return None
        certificate = verified(self._authorities, der)
        if der not in self._users:
            if len(self._users) >= _KNOWN:
                self._users.clear()
            self._users[der] = user_of(certificate, der)
        return self._users[der]


def user_of(certificate: x509.Certificate, der: bytes) -> User | None:
    """Who a certificate's subject names; None without a common name. Raises Refused."""
    name = common_name(certificate)
    if not name:
        return None
    subject = certificate.subject
    groups = tuple(str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    extra = {CREDENTIAL_ID: (f"X509SHA256={sha256(der).hexdigest()}",)}
    try:
        uid = user_id(certificate)
    except Untrusted as error:
        raise Refused(str(error)) from error
    return authenticated(name, uid, groups=groups, extra=extra)


def common_name(certificate: x509.Certificate) -> str:
    """The last one of the subject, as Go reads it; empty if there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""
