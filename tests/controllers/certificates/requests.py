"""Certificate signing requests for tests, and an authority that signs them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from kplane.api.clock import Clock
from kplane.api.resource import Object
from kplane.controllers.certificates.signing import CLIENT, KUBELET_CLIENT, LEGACY, SERVING
from kplane.controllers.config import Config
from kplane.runtime import csr, pki
from kplane.testing.objects import make_object

CLIENT_USAGES = ("digital signature", "client auth")
SERVING_USAGES = ("digital signature", "server auth")
APPROVED: Object = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]}
KEY = csr.new_key()


def make_request(
    name: str = "req",
    *,
    signer: str = KUBELET_CLIENT,
    usages: Sequence[str] = CLIENT_USAGES,
    common_name: str = "system:node:worker",
    organizations: Sequence[str] = ("system:nodes",),
    username: str = "system:bootstrap:abcdef",
    dns_names: Sequence[str] = (),
    ips: Sequence[str] = (),
    status: Object | None = None,
    **spec: Any,
) -> Object:
    pem = csr.request_pem(KEY, csr.subject(common_name, organizations), dns_names=dns_names, ips=ips)
    return make_object(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        name,
        spec={
            "request": base64.b64encode(pem).decode(),
            "signerName": signer,
            "usages": list(usages),
            "username": username,
            "groups": ["system:bootstrappers", "system:authenticated"],
            **spec,
        },
        status=status or {},
    )


def authority(folder: Path, clock: Clock) -> x509.Certificate:
    """A cluster's authority in `folder`."""
    pki.ensure(folder, server_names=["kubernetes"], server_ips=[], clock=clock)
    return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())


def config(folder: Path, **options: Any) -> Config:
    pair = (folder / "ca.crt", folder / "ca.key")
    return Config(signing_files=dict.fromkeys((SERVING, KUBELET_CLIENT, CLIENT, LEGACY), pair), **options)


def issued(encoded: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(encoded))
