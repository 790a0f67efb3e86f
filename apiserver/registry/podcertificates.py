"""PodCertificateRequests: a kubelet asks for a certificate for a Pod; the decision about it stays.

Source: upstream's `pkg/apis/certificates/validation`. That a certificate's time begins about now is left to
the signer, because strategies read no clock.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .conditions import validate_conditions
from .immutable import unchanged
from .labels import validate_annotations
from .signers import validate_signer
from .status import StatusStrategy

_KINDS = ("Issued", "Denied", "Failed")
_HOUR, _DAY = 3600, 86400
_MAX_UID = 128
_MAX_CHAIN = 100 * 1024
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MODULI = (3072, 4096)
_MARGIN = timedelta(minutes=10)
_BEGIN = b"-----BEGIN "


class PodCertificateRequestStrategy(StatusStrategy):
    immutable_spec_generation = True
    unconditional_update = False
    selectable = ("spec.signerName", "spec.podName", "spec.nodeName")

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {}).setdefault("maxExpirationSeconds", _DAY)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        signer = spec.get("signerName", "")
        yield from validate_signer(signer, here.signerName)
        yield from validate_annotations(
            spec.get("unverifiedUserAnnotations") or {}, here.unverifiedUserAnnotations
        )
        for kind in ("pod", "serviceAccount", "node"):
            name, uid = spec.get(f"{kind}Name", ""), spec.get(f"{kind}UID", "")
            for text in names.dns_subdomain(name):
                yield here.child(f"{kind}Name").invalid(name, text)
            if not uid:
                yield here.child(f"{kind}UID").invalid(uid, "must not be empty")
            if len(uid) > _MAX_UID:
                yield here.child(f"{kind}UID").too_long(_MAX_UID)
        own = signer.partition("/")[0].endswith("kubernetes.io")
        longest, seconds = _DAY if own else 91 * _DAY, spec["maxExpirationSeconds"]
        if not _HOUR <= seconds <= longest:
            yield here.maxExpirationSeconds.invalid(seconds, f"must be in the range [{_HOUR}, {longest}]")
        if fault := _request_fault(spec.get("stubPKCS10Request", "")):
            yield here.stubPKCS10Request.invalid("<value omitted>", fault)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new["spec"], old["spec"], path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was, here = new.get("status") or {}, old.get("status") or {}, path.status
        conditions = now.get("conditions") or []
        faults = [*_validate_kinds(conditions, here), *validate_conditions(conditions, here.conditions)]
        yield from faults
        if faults:
            return
        if _kinds(was):
            if now != was:
                text = "immutable after PodCertificateRequest is issued, denied, or failed"
                yield here.invalid(now, text)
        elif _kinds(now) & {"Denied", "Failed"}:
            if any(now.get(name) for name in now.keys() - {"conditions"}):
                yield here.invalid(
                    now,
                    "non-condition status fields must be empty when denying or failing the"
                    " PodCertificateRequest",
                )
        elif _kinds(now):
            yield from _validate_issued(now, new["spec"], here)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {name: obj["spec"].get(name.removeprefix("spec."), "") for name in self.selectable}


def _kinds(status: Object) -> set[str]:
    return {entry.get("type", "") for entry in status.get("conditions") or ()} & set(_KINDS)


def _validate_kinds(conditions: list[Object], path: Path) -> Iterator[FieldError]:
    known = 0
    for index, condition in enumerate(conditions):
        # Upstream separates the index with a dot.
        here, kind = path.conditions.child(f"[{index}]"), condition.get("type", "")
        if kind not in _KINDS:
            yield here.type.not_supported(kind, _KINDS)
            continue
        known += 1
        if known > 1:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            yield here.type.invalid(kind, text)
        if condition.get("status") != "True":
            yield here.status.not_supported(condition.get("status", ""), ("True",))


def _request_fault(encoded: str) -> str:
    """What is wrong with a PKCS#10 request; empty: nothing."""
    try:
        request = x509.load_der_x509_csr(binascii.a2b_base64(encoded))
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return "must be a valid PKCS#10 certificate signing request"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            return "elliptic public keys must use curve P256, P384, or P521"
    elif isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in _MODULI:
            return "RSA keys must have modulus size 3072 or 4096"
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        return "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
    return "" if signed else "could not verify the signature of the request"


def _validate_issued(status: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    chain, here = status.get("certificateChain", ""), path.certificateChain
    if len(chain) > _MAX_CHAIN:
        yield here.too_long(_MAX_CHAIN)
        return
    leaf, fault = _leaf(chain.encode())
    if leaf is None:
        yield here.invalid(chain, fault)
        return
    if not _is_for(leaf, spec.get("stubPKCS10Request", "")):
        yield here.invalid(chain, "leaf certificate was not issued to the requested public key")
        return
    missing = [name for name in ("notBefore", "notAfter", "beginRefreshAt") if not status.get(name)]
    for name in missing:
        what = "consistent with the issued certificate"
        if name == "beginRefreshAt":
            what = "in the range [notbefore+10min, notafter-10min]"
        yield path.child(name).required(f"must be present and {what}")
    if not missing:
        yield from _validate_times(status, leaf, spec, path)


def _leaf(chain: bytes) -> tuple[x509.Certificate | None, str]:
    if _BEGIN not in chain:
        return None, "issued certificate chain must contain at least one certificate"
    if chain.count(_BEGIN) != chain.count(_BEGIN + b"CERTIFICATE-----"):
        return None, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    try:
        return x509.load_pem_x509_certificates(chain)[0], ""
    except (ValueError, UnsupportedAlgorithm):
        return None, "leaf certificate does not parse as valid X.509"


def _is_for(leaf: x509.Certificate, encoded: str) -> bool:
    try:
        wanted = x509.load_der_x509_csr(binascii.a2b_base64(encoded)).public_key()
        keys = [
            key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for key in (wanted, leaf.public_key())
        ]
    except (ValueError, UnsupportedAlgorithm):
        return False
    return keys[0] == keys[1]


def _validate_times(status: Object, leaf: x509.Certificate, spec: Object, path: Path) -> Iterator[FieldError]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    refresh = datetime.fromisoformat(status["beginRefreshAt"])
    for name, time, title in (("notBefore", begin, "NotBefore"), ("notAfter", end, "NotAfter")):
        if datetime.fromisoformat(status[name]) != time:
            text = f"must be set to the {title} time encoded in the leaf certificate"
            yield path.child(name).invalid(status[name], text)
            return
    lifetime, most = end - begin, spec["maxExpirationSeconds"]
    if lifetime < timedelta(hours=1):
        yield path.certificateChain.invalid(str(lifetime), "leaf certificate lifetime must be >= 1 hour")
    elif lifetime > timedelta(seconds=most):
        text = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
        yield path.certificateChain.invalid(str(lifetime), text)
    elif refresh < begin + _MARGIN:
        text = "must be at least 10 minutes after status.notBefore"
        yield path.beginRefreshAt.invalid(status["beginRefreshAt"], text)
    elif refresh > end - _MARGIN:
        text = "must be at least 10 minutes before status.notAfter"
        yield path.beginRefreshAt.invalid(status["beginRefreshAt"], text)
