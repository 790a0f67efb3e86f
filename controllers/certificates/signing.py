"""Signing controller: approved requests for the signers `kubernetes.io/…` become certificates.

Reads: CertificateSigningRequests, from an informer cache; the authorities' files. Writes: their status.
Elsewhere: approval (approving.py), what kubelets may ask for (kubelet.py).

Source: pkg/controller/certificates/signer.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from cryptography import x509

from kplane.api.resource import Key, Object
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue, Terminal

from ..config import Config
from ..status import guarded
from . import kubelet
from .authority import BACKDATE, AuthorityFiles
from .kubelet import Refused
from .request import Malformed, SigningRequest, parse, with_condition

log = logging.getLogger(__name__)

SERVING = "kubernetes.io/kubelet-serving"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"

SHORTEST = 2 * BACKDATE

Check = Callable[[x509.CertificateSigningRequest, Collection[str]], None]


def check_api_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """Raises Refused."""
    for usage in usages:
        if usage not in kubelet.CLIENT_USAGES:
            raise Refused(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise Refused("missing required usage for client certificate: client auth")


def check_nothing(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """The legacy signer signs all that was approved."""


CHECKS: Mapping[str, Check] = {
    SERVING: kubelet.check_serving,
    KUBELET_CLIENT: kubelet.check_client,
    CLIENT: check_api_client,
    LEGACY: check_nothing,
}


def life(asked: int | None, longest: timedelta) -> timedelta:
    """How long a certificate lives: what was asked for, not longer than the signer allows."""
    if asked is None:
        return longest
    wanted = timedelta(seconds=asked)
    return longest if wanted > longest else max(wanted, SHORTEST)


class CSRSigningController:
    name = "certificatesigningrequest-signing-controller"

    def __init__(self, ctx: Context) -> None:
        """Raises Fatal for authorities that cannot be read."""
        options: Config = ctx.options or Config()
        self._client = ctx.client
        self._clock = ctx.clock
        self._longest = timedelta(seconds=options.cluster_signing_duration)
        self._authorities = {
            signer: AuthorityFiles(certificate, key)
            for signer, (certificate, key) in options.signing_files.items()
        }
        self._requests = ctx.informer(SigningRequest)
        self._requests.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Sign the request if it is approved and ours. Safe to repeat at any time."""
        request = self._requests.get(key)
        if request is None or request.status.certificate:
            return None
        if not request.has("Approved") or request.has("Denied") or request.has("Failed"):
            return None
        authority = self._authorities.get(request.spec.signer_name)
        if authority is None:
            return None
        try:
            asked = parse(request)
            CHECKS[request.spec.signer_name](asked, request.spec.usages)
        except Malformed as error:
            raise Terminal(f"unable to parse csr {key.name!r}: {error}") from error
        except Refused as error:
            await self._fail(request, str(error))
            return None
        # CannotSign is tried again: the authority may be renewed.
        signed = authority.current().sign(
            asked,
            request.spec.usages,
            life(request.spec.expiration_seconds, self._longest),
            self._clock.now(),
        )
        status = {"certificate": base64.b64encode(signed).decode()}
        await self._write(request, guarded(request.metadata, {"status": status}))
        log.info("signed request=%s signer=%s", key.name, request.spec.signer_name)
        return None

    async def _fail(self, request: SigningRequest, why: str) -> None:
        await self._write(request, with_condition(request, "Failed", "SignerValidationFailure", why))
        log.info("refused to sign request=%s reason=%s", request.metadata.name, why)

    async def _write(self, request: SigningRequest, patch: Object) -> None:
        await self._client.patch(SigningRequest, request.metadata.name, "", patch, subresource="status")
