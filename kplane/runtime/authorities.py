"""Client certificates: issued by one of our authorities, in their time, for clients.

TLS has proved that the client holds the key and that the certificate chains to some authority that the server
trusts; that may be another one's (a front proxy's), or one that was taken out of the file since, so whoever
reads an identity from a certificate asks here again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from kplane.api.clock import Clock
from kplane.runtime.process import Fatal

log = logging.getLogger(__name__)

_CACHED = 4096
_LOOK_SECONDS = 1.0
"""How often a file of authorities is looked at."""
_UNKNOWN = "x509: certificate signed by unknown authority"


USER_ID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
"""Of the attribute of a subject that holds a user's uid: Kubernetes' own."""


class Untrusted(Exception):
    """A certificate that is no good for a client of ours. The text is Go's."""


class _Issued(NamedTuple):
    """A certificate, and its time, which is asked for with every request."""

    certificate: x509.Certificate
    begin: datetime
    end: datetime

    @classmethod
    def of(cls, certificate: x509.Certificate) -> _Issued:
        return cls(certificate, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


class Held:
    """Authorities that stand in no file, but were told to this process; none until then."""

    def __init__(self) -> None:
        self.pem = b""
        self.version = 0
        """Differs when `pem` does."""

    def __str__(self) -> str:
        return "lookup"

    def hold(self, pem: bytes) -> None:
        """Raises ValueError for what holds no certificate, and keeps the former ones then."""
        # What stands between certificates is for people, and not for OpenSSL.
        found = x509.load_pem_x509_certificates(pem)
        only = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
        if only != self.pem:
            self.pem = only
            self.version += 1


class Authorities:
    """The certificates of a `--…-ca-file`, read again when it has changed; or those that are held."""

    def __init__(
        self, certificates: Sequence[x509.Certificate], clock: Clock, source: Path | Held | None = None
    ) -> None:
        self._certificates = certificates
        self._clock = clock
        self._source = source
        self._stamp = _stamp(source)
        self._looked = clock.monotonic()
        self._good: dict[bytes, _Issued] = {}

    @classmethod
    def load(cls, path: Path, clock: Clock) -> Authorities:
        """Raises Fatal."""
        return cls(_read(path), clock, path)

    @classmethod
    def held(cls, held: Held, clock: Clock) -> Authorities:
        return cls(_read(held), clock, held)

    def verified(self, der: bytes) -> x509.Certificate:
        """The certificate, if it is good now. Raises Untrusted."""
        self._look_again()
        known = self._good.get(der)
        found = known or _Issued.of(self._issued(der))
        if not found.begin <= self._clock.now() <= found.end:
            raise Untrusted("x509: certificate has expired or is not yet valid")
        if known is None:
            if len(self._good) >= _CACHED:
                self._good.clear()
            self._good[der] = found
        return found.certificate

    def _look_again(self) -> None:
        """Follow the source. A file that cannot be read changes nothing: it may be in the middle of a
        renewal."""
        now = self._clock.monotonic()
        if self._source is None or (isinstance(self._source, Path) and now - self._looked < _LOOK_SECONDS):
            return
        self._looked = now
        stamp = _stamp(self._source)
        if stamp == self._stamp:
            return
        try:
            self._certificates = _read(self._source)
        except Fatal as fault:
            log.warning("%s; the former ones stay in use", fault)
            return
        self._stamp = stamp
        self._good.clear()
        log.info("loaded changed authorities from=%s", self._source)

    def _issued(self, der: bytes) -> x509.Certificate:
        try:
            certificate = x509.load_der_x509_certificate(der)
            usages = _usages(certificate)
        except ValueError as error:
            raise Untrusted("x509: malformed certificate") from error
        if not any(_is_issuer(authority, certificate) for authority in self._certificates):
            raise Untrusted(_UNKNOWN)
        allowed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
        if usages is not None and not allowed & usages:
            raise Untrusted("x509: certificate specifies an incompatible key usage")
        return certificate


def user_id(certificate: x509.Certificate) -> str:
    """The uid of the user whom the certificate names; empty if it tells none. Raises Untrusted."""
    found = [entry.value for entry in certificate.subject.get_attributes_for_oid(USER_ID)]
    uids = [uid for uid in found if isinstance(uid, str)]
    if len(uids) < len(found):
        raise Untrusted("unable to parse UID into a string")
    if len(uids) > 1:
        raise Untrusted(f"expected 1 UID, but found multiple: [{' '.join(uids)}]")
    if uids == [""]:
        raise Untrusted("UID cannot be an empty string")
    return uids[0] if uids else ""


def overlap(one: Path, other: Path) -> bool:
    """Whether a certificate is in both files. Raises Fatal."""
    return not set(_read(one)).isdisjoint(_read(other))


def _usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier] | None:
    """None: for everything."""
    try:
        return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _read(source: Path | Held) -> Sequence[x509.Certificate]:
    """Raises Fatal."""
    if isinstance(source, Held):
        return x509.load_pem_x509_certificates(source.pem) if source.pem else ()
    try:
        return x509.load_pem_x509_certificates(source.read_bytes())
    except (OSError, ValueError) as error:
        raise Fatal(f"cannot read the authorities in {source}: {error}") from error


def _stamp(source: Path | Held | None) -> tuple[int, int] | None:
    if isinstance(source, Held):
        return source.version, 0
    try:
        found = source.stat() if source is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino) if found is not None else None


def _is_issuer(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
