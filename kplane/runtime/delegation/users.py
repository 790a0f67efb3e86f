"""Who asks: a name, groups, and how the identity was proved."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from kplane.runtime.authorities import user_id

AUTHENTICATED = "system:authenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class User(msgspec.Struct, frozen=True):
    """`extra` is told to whoever decides about the user, as a TokenReview spells it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


def authenticated(user: User) -> User:
    """The user as a member of those whose identity was proved."""
    if AUTHENTICATED in user.groups:
        return user
    return msgspec.structs.replace(user, groups=(*user.groups, AUTHENTICATED))


def user_of(certificate: x509.Certificate, der: bytes) -> User | None:
    """Whom a client certificate names: the last common name, its uid, and the organisations as groups.
    Raises Untrusted."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names or not names[-1].value:
        return None
    organisations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    digest = f"X509SHA256={sha256(der).hexdigest()}"
    groups = tuple(str(entry.value) for entry in organisations)
    extra = ((CREDENTIAL_ID, (digest,)),)
    return authenticated(User(str(names[-1].value), user_id(certificate), groups, extra))
