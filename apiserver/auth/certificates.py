"""Client certificates: issued by one of our authorities, in their time, for clients.

TLS has proved that the client holds the key and that the certificate chains to some authority it trusts; that
may be the front proxy's, so each authenticator asks for its own again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kplane.api.clock import Clock
from kplane.runtime.process import Fatal

from .identity import Credentials, Refused
from .user import CREDENTIAL_ID, User, authenticated

log = logging.getLogger(__name__)

_CACHED = 4096
_LOOK_SECONDS = 1.0
"""How often a file of authorities is looked at."""
_UNKNOWN = "x509: certificate signed by unknown authority"


class Authorities:
    """The certificates of a `--…-ca-file`, read again when it has changed."""

    def __init__(
        self, certificates: Sequence[x509.Certificate], clock: Clock, path: Path | None = None
    ) -> None:
        self._certificates = certificates
        self._clock = clock
        self._path = path
        self._stamp = _stamp(path)
        self._looked = clock.monotonic()
        self._good: dict[bytes, x509.Certificate] = {}

    @classmethod
    def load(cls, path: Path, clock: Clock) -> Authorities:
        """Raises Fatal."""
        return cls(_read(path), clock, path)

    def verified(self, der: bytes) -> x509.Certificate:
        """The certificate, if it is good now. Raises Refused."""
        self._look_again()
        known = self._good.get(der)
        certificate = known or self._issued(der)
        now = self._clock.now()
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Refused("x509: certificate has expired or is not yet valid")
        if known is None:
            if len(self._good) >= _CACHED:
                self._good.clear()
            self._good[der] = certificate
        return certificate

    def _look_again(self) -> None:
        """Follow the file. One that cannot be read changes nothing: it may be in the middle of a renewal."""
        now = self._clock.monotonic()
        if self._path is None or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            self._certificates = _read(self._path)
        except Fatal as fault:
            log.warning("%s; the former ones stay in use", fault)
            return
        self._stamp = stamp
        self._good.clear()
        log.info("loaded changed authorities path=%s", self._path)

    def _issued(self, der: bytes) -> x509.Certificate:
        try:
            certificate = x509.load_der_x509_certificate(der)
            usages = _usages(certificate)
        except ValueError as error:
            raise Refused("x509: malformed certificate") from error
        if not any(_is_issuer(authority, certificate) for authority in self._certificates):
            raise Refused(_UNKNOWN)
        allowed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if usages is not None and not allowed & usages:
            raise Refused("x509: certificate specifies an incompatible key usage")
        return certificate


class ClientCertificates:
    """Common name is the user, organisations are the groups."""

    def __init__(self, authorities: Authorities) -> None:
        self._authorities = authorities

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.certificate is None:
            return None
        return user_of(self._authorities.verified(credentials.certificate), credentials.certificate)


def user_of(certificate: x509.Certificate, der: bytes) -> User | None:
    """Who a certificate's subject names; None without a common name."""
    name = common_name(certificate)
    if not name:
        return None
    subject = certificate.subject
    groups = tuple(str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    extra = {CREDENTIAL_ID: (f"X509SHA256={sha256(der).hexdigest()}",)}
    return authenticated(name, groups=groups, extra=extra)


def common_name(certificate: x509.Certificate) -> str:
    """The last one of the subject, as Go reads it; empty if there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier] | None:
    """None: for everything."""
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _read(path: Path) -> Sequence[x509.Certificate]:
    """Raises Fatal."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fatal(f"cannot read the authorities in {path}: {error}") from error


def _stamp(path: Path | None) -> tuple[int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino) if found is not None else None


def _is_issuer(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
