"""What certificates a folder holds, when they end, and their renewal by the authorities beside them.

A renewed certificate says what the former one said, for a new key. Authorities are never renewed here: that
changes what everybody has to trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization

from kplane.api.clock import Clock, SystemClock
from kplane.runtime import csr, pki
from kplane.runtime.process import Fatal


@dataclass(frozen=True)
class Held:
    """A certificate in the folder. `name` is the stem of its files, with its folder: `etcd/server`."""

    name: str
    expires: datetime
    authority: str
    """Which of the folder's authorities has issued it; empty if none has."""
    is_authority: bool
    renewable: bool
    """Whether its authority's key is here."""


def held(directory: Path) -> Sequence[Held]:
    """Every certificate in the folder, authorities last. Raises Fatal for files that cannot be read."""
    found = {path: _load(path) for path in sorted(directory.rglob("*.crt"))}
    authorities = {path: made for path, made in found.items() if _is_authority(made)}
    return sorted(
        (_held(directory, path, made, authorities) for path, made in found.items()),
        key=lambda entry: (entry.is_authority, entry.name),
    )


def renew(directory: Path, name: str, clock: Clock | None = None) -> None:
    """Replace a certificate and its key. Raises Fatal where that is impossible."""
    known = {entry.name: entry for entry in held(directory)}
    if name not in known or known[name].is_authority:
        leaves = ", ".join(entry.name for entry in known.values() if not entry.is_authority)
        raise Fatal(f"there is no certificate {name} to renew in {directory}; there are {leaves or 'none'}")
    entry = known[name]
    if not entry.renewable:
        raise Fatal(f"{name} cannot be renewed here: the key of the authority that issued it is not here")
    former = _load(directory / f"{name}.crt")
    key = csr.new_key()
    issuer = pki.load_authority(directory, entry.authority)
    builder = pki.leaf(former.subject, issuer, key, (clock or SystemClock()).now())
    for kind in (x509.ExtendedKeyUsage, x509.SubjectAlternativeName):
        try:
            extension = former.extensions.get_extension_for_class(kind)
        except x509.ExtensionNotFound:
            continue
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(issuer.key, hashes.SHA256())
    pki.write_private(directory / f"{name}.key", csr.key_pem(key))
    pki.write_private(
        directory / f"{name}.crt", made.public_bytes(serialization.Encoding.PEM), pki.CERTIFICATE_MODE
    )


def _held(
    directory: Path, path: Path, made: x509.Certificate, authorities: dict[Path, x509.Certificate]
) -> Held:
    issuer = next((place for place, authority in authorities.items() if _issued(made, authority)), None)
    return Held(
        _name(directory, path),
        made.not_valid_after_utc.astimezone(UTC),
        _name(directory, issuer) if issuer is not None else "",
        path in authorities,
        issuer is not None and path not in authorities and issuer.with_suffix(".key").exists(),
    )


def _name(directory: Path, path: Path) -> str:
    return str(path.relative_to(directory).with_suffix(""))


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fatal(f"cannot read the certificate {path}: {error}") from error


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
