"""A certificate authority that signs requests: its files, and the certificate that a request becomes.

The files are read again when they have changed. Source: pkg/controller/certificates/authority and
`signer/ca_provider.go`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kplane.runtime.process import Fatal

BACKDATE = timedelta(minutes=5)
SHORT = timedelta(hours=8)
"""A certificate whose life is shorter than this keeps all of it: its end is not moved back."""

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)


class CannotSign(Exception):
    """The authority, or the request, is not fit for it."""


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: PrivateKey

    def sign(
        self, request: x509.CertificateSigningRequest, usages: Collection[str], life: timedelta, now: datetime
    ) -> bytes:
        """The certificate, as PEM: the request's subject, key and alternative names, with these usages, and
        nothing else that the request may ask for. Raises CannotSign."""
        if not request.is_signature_valid:
            raise CannotSign("unable to verify certificate request signature")
        if now > self.certificate.not_valid_after_utc:
            raise CannotSign("refusing to sign a certificate that expired in the past")
        until = now + (life if life < SHORT else life - BACKDATE)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(until, self.certificate.not_valid_after_utc))
            .add_extension(_key_usage(usages), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if (identifier := self._identifier()) is not None:
            builder = builder.add_extension(identifier, critical=False)
        extended = sorted({_EXTENDED_USAGES[use] for use in usages if use in _EXTENDED_USAGES}, key=_dotted)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        if names := _alternatives(request):
            # RFC 5280: critical where the subject is empty.
            builder = builder.add_extension(
                x509.SubjectAlternativeName(names), critical=not list(request.subject)
            )
        try:
            signed = builder.sign(self.key, _hash(self.key))
        except (ValueError, TypeError) as error:
            raise CannotSign(f"failed to sign certificate: {error}") from error
        return signed.public_bytes(serialization.Encoding.PEM)

    def _identifier(self) -> x509.AuthorityKeyIdentifier | None:
        """By the name that the authority's own certificate gives to its key: whoever made it chose how."""
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return None
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found.value)


class AuthorityFiles:
    """The two files of an authority."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises Fatal."""
        self._paths = (certificate, key)
        self._stamp = self._look()
        self._current = self._load()

    def current(self) -> Authority:
        """As the files are now; what was read last while they cannot be read, as in a renewal's middle."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._current, self._stamp = self._load(), stamp
        except Fatal:
            return self._current
        return self._current

    def _look(self) -> tuple[tuple[int, int], ...]:
        try:
            return tuple((found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in self._paths))
        except OSError as error:
            raise Fatal(f"cannot read the signing authority: {error}") from error

    def _load(self) -> Authority:
        path, key_path = self._paths
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise Fatal(f"cannot read the signing authority {path} with {key_path}: {error}") from error
        if not isinstance(key, PrivateKey) or key.public_key() != certificate.public_key():
            raise Fatal(f"the key {key_path} does not belong to the signing authority {path}")
        return Authority(certificate, key)


def _key_usage(usages: Collection[str]) -> x509.KeyUsage:
    fields = dict.fromkeys(_KEY_USAGES.values(), False)
    fields |= {_KEY_USAGES[usage]: True for usage in usages if usage in _KEY_USAGES}
    if not fields["key_agreement"]:
        # RFC 5280: these two mean nothing without it.
        fields |= {"encipher_only": False, "decipher_only": False}
    return x509.KeyUsage(**fields)


def _alternatives(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = (x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.UniformResourceIdentifier)
    return [name for name in names if isinstance(name, kinds)]


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def _dotted(identifier: x509.ObjectIdentifier) -> str:
    return identifier.dotted_string
