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
        self._good: dict[bytes, _Issued] = {}

    @classmethod
    def load(cls, path: Path, clock: Clock) -> Authorities:
        """Raises Fatal."""
        return cls(_read(path), clock, path)

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
