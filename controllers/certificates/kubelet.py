"""What requests of kubelets must look like: for their client certificates and for their serving ones.

Source: pkg/apis/certificates/v1 `helpers.go`.
"""

from __future__ import annotations

from collections.abc import Collection

from cryptography import x509
from cryptography.x509.oid import NameOID

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"

CLIENT_USAGES = frozenset({"client auth", "digital signature", "key encipherment"})
SERVING_USAGES = frozenset({"digital signature", "key encipherment", "server auth"})
RSA_ONLY = frozenset({"key encipherment"})

ALTERNATIVES: dict[str, type[x509.GeneralName]] = {
    "DNS": x509.DNSName,
    "Email": x509.RFC822Name,
    "IP": x509.IPAddress,
    "URI": x509.UniformResourceIdentifier,
}


class Refused(ValueError):
    """The request is not one that this signer signs; the message says why."""


def check_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """Raises Refused."""
    _check_organization(request)
    for kind in ALTERNATIVES:
        _check_none(request, kind)
    _check_name(request)
    _check_usages(usages, CLIENT_USAGES)


def check_serving(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """Raises Refused."""
    _check_organization(request)
    if not _has(request, "DNS") and not _has(request, "IP"):
        raise Refused("DNS or IP subjectAltName is required")
    for kind in ("Email", "URI"):
        _check_none(request, kind)
    _check_usages(usages, SERVING_USAGES)
    _check_name(request)


def common_name(request: x509.CertificateSigningRequest) -> str:
    """The last one of the subject, as Go reads it; empty if there is none."""
    found = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _check_organization(request: x509.CertificateSigningRequest) -> None:
    organizations = request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if [entry.value for entry in organizations] != [NODES_GROUP]:
        raise Refused("subject organization is not system:nodes")


def _check_name(request: x509.CertificateSigningRequest) -> None:
    if not common_name(request).startswith(NODE_PREFIX):
        raise Refused("subject common name does not begin with system:node:")


def _check_none(request: x509.CertificateSigningRequest, kind: str) -> None:
    if _has(request, kind):
        raise Refused(f"{kind} subjectAltNames are not allowed")


def _check_usages(usages: Collection[str], required: frozenset[str]) -> None:
    if set(usages) not in (required, required - RSA_ONLY):
        raise Refused(f"usages did not match [{' '.join(sorted(required))}]")


def _has(request: x509.CertificateSigningRequest, kind: str) -> bool:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return any(isinstance(name, ALTERNATIVES[kind]) for name in names)
