"""CertificateSigningRequests as these controllers read them, and what is inside: the PKCS #10 request."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, ClassVar

from cryptography import x509

from kplane.api.resource import Object, Resource
from kplane.api.types.meta import Condition, Part, View

from ..status import condition_body, guarded

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE REQUEST-----.*?-----END CERTIFICATE REQUEST-----", re.DOTALL)


class Spec(Part, frozen=True):
    request: str = ""
    """PEM in base64."""
    signer_name: str = ""
    usages: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 msgspec copies it


class Status(Part, frozen=True):
    certificate: str = ""
    """PEM in base64."""
    conditions: tuple[Condition, ...] = ()


class SigningRequest(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: Spec = Spec()
    status: Status = Status()

    def has(self, kind: str) -> bool:
        """Whether there is such a condition, and it is true."""
        return any(found.type == kind and found.status == "True" for found in self.status.conditions)

    @property
    def decided(self) -> bool:
        return self.has("Approved") or self.has("Denied")


SigningRequest.API = Resource(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    False,
    SigningRequest,
)


class Malformed(ValueError):
    """The request cannot be read."""


def parse(request: SigningRequest) -> x509.CertificateSigningRequest:
    """Raises Malformed."""
    try:
        match = _BLOCK.search(base64.b64decode(request.spec.request))
    except binascii.Error:
        match = None
    if match is None:
        raise Malformed("PEM block type must be CERTIFICATE REQUEST")
    try:
        return x509.load_pem_x509_csr(match[0])
    except (ValueError, TypeError) as error:
        raise Malformed(str(error)) from error


def with_condition(request: SigningRequest, kind: str, reason: str, message: str) -> Object:
    """The patch that adds a true condition; refused by the server if the request has changed since."""
    added: Object = {"type": kind, "status": "True", "reason": reason, "message": message}
    conditions = [*map(condition_body, request.status.conditions), added]
    return guarded(request.metadata, {"status": {"conditions": conditions}})
