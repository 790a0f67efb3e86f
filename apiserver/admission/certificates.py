"""CertificateApproval, CertificateSigning, ClusterTrustBundleAttest, CertificateSubjectRestriction: who may
approve, sign or attest for a signer, and that nobody asks for a client certificate of `system:masters`.
"""

from __future__ import annotations

from cryptography.x509.oid import NameOID

from kplane.api.resource import Object

from ..auth.user import MASTERS_GROUP
from ..registry.certificates import read_request
from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused

GROUP, PLURAL = "certificates.k8s.io", "certificatesigningrequests"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateApproval:
    name = "CertificateApproval"
    handles = on(Operation.UPDATE, to=(f"{PLURAL}.{GROUP}/approval",))

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def validate(self, attributes: Attributes) -> None:
        signer = _signer(attributes.old)
        if not await may(self._context, attributes, "approve", signer):
            why = f'user not permitted to approve requests with signerName "{signer}"'
            raise refused(attributes, why)


class CertificateSigning:
    name = "CertificateSigning"
    handles = on(Operation.UPDATE, to=(f"{PLURAL}.{GROUP}/status",))

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def validate(self, attributes: Attributes) -> None:
        """Only a change of the certificate or the conditions is signing."""
        if _signed(attributes.object) == _signed(attributes.old):
            return
        signer = _signer(attributes.old)
        if not await may(self._context, attributes, "sign", signer):
            raise refused(attributes, f'user not permitted to sign requests with signerName "{signer}"')


class ClusterTrustBundleAttest:
    name = "ClusterTrustBundleAttest"
    handles = on(Operation.CREATE, Operation.UPDATE, to=(f"clustertrustbundles.{GROUP}",))

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def validate(self, attributes: Attributes) -> None:
        """A bundle without a signer is everybody's who may write bundles."""
        signer = _signer(attributes.object)
        if attributes.old is not None and _signer(attributes.old) != signer:
            raise refused(attributes, "changing signerName is forbidden")
        if signer and not await may(self._context, attributes, "attest", signer):
            raise refused(attributes, f'user not permitted to attest for signerName "{signer}"')


class CertificateSubjectRestriction:
    name = "CertificateSubjectRestriction"
    handles = on(Operation.CREATE, to=(f"{PLURAL}.{GROUP}",))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def validate(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object["spec"]
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            groups = organisations(spec.get("request") or "")
        except ValueError as error:
            raise refused(attributes, f"failed to parse CSR: {error}") from error
        if MASTERS_GROUP in groups:
            why = f"use of {CLIENT_SIGNER} signer with {MASTERS_GROUP} group is not allowed"
            raise refused(attributes, why)


def organisations(request: str) -> list[str]:
    """The groups that a base64 PEM request asks for. Raises ValueError."""
    subject = read_request(request).subject
    return [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def common_name(request: str) -> str:
    """The user that a base64 PEM request asks for: the last one, as Go reads it. Raises ValueError."""
    found = read_request(request).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


async def may(context: AdmissionContext, attributes: Attributes, verb: str, signer: str) -> bool:
    """Whether the user may do that for the signer, or for all signers of its domain."""
    user = attributes.user
    if await context.may(user, verb, GROUP, "signers", signer):
        return True
    domain = signer.partition("/")[0]
    return await context.may(user, verb, GROUP, "signers", f"{domain}/*")


def _signer(obj: Object | None) -> str:
    signer: str = ((obj or {}).get("spec") or {}).get("signerName", "")
    return signer


def _signed(obj: Object | None) -> tuple[object, object]:
    status = (obj or {}).get("status") or {}
    return status.get("certificate"), status.get("conditions") or []
