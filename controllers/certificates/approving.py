"""Approving controller: requests of nodes for their own client certificates, as far as permissions go.

A request that names a node is approved if whoever made it may create `certificatesigningrequests/nodeclient`,
or `certificatesigningrequests/selfnodeclient` where it is the node itself that asks.

Reads: CertificateSigningRequests, from an informer cache. Writes: their approval; SubjectAccessReviews.

Source: pkg/controller/certificates/approver `sarapprove.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from kplane.api.resource import Key, Object, Resource
from kplane.client.backoff import ItemBackoff
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue, Terminal

from . import kubelet
from .request import Malformed, SigningRequest, parse, with_condition
from .signing import KUBELET_CLIENT

log = logging.getLogger(__name__)

REVIEWS: Resource[dict[str, Any]] = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False, dict
)
FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 1000.0


@dataclass(frozen=True)
class Permission:
    """A subresource that stands for a right, and what is said when it is used."""

    subresource: str
    message: str


SELF = Permission(
    "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."
)
NODE = Permission("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")


def permissions(request: SigningRequest, asked: x509.CertificateSigningRequest) -> Sequence[Permission]:
    """The rights of which one is enough; none for a request that is not about a node's client certificate."""
    if request.spec.signer_name != KUBELET_CLIENT:
        return ()
    try:
        kubelet.check_client(asked, request.spec.usages)
    except kubelet.Refused:
        return ()
    return (SELF, NODE) if request.spec.username == kubelet.common_name(asked) else (NODE,)


class CSRApprovingController:
    name = "certificatesigningrequest-approving-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._backoff = ItemBackoff(FIRST_BACKOFF, LONGEST_BACKOFF)
        self._requests = ctx.informer(SigningRequest)
        self._requests.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Approve the request if it may be. Safe to repeat at any time."""
        request = self._requests.get(key)
        if request is None or request.status.certificate or request.decided:
            self._backoff.forget(key)
            return None
        try:
            wanted = permissions(request, parse(request))
        except Malformed as error:
            raise Terminal(f"unable to parse csr {key.name!r}: {error}") from error
        for permission in wanted:
            if await self._allowed(request, permission):
                patch = with_condition(request, "Approved", "AutoApproved", permission.message)
                await self._client.patch(SigningRequest, key.name, "", patch, subresource="approval")
                log.info("approved request=%s permission=%s", key.name, permission.subresource)
                return None
        # Permissions change, and nothing tells of it.
        return Requeue(self._backoff.delay(key)) if wanted else None

    async def _allowed(self, request: SigningRequest, permission: Permission) -> bool:
        spec: Object = {
            "user": request.spec.username,
            "uid": request.spec.uid,
            "groups": list(request.spec.groups),
            "extra": {name: list(values) for name, values in request.spec.extra.items()},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "verb": "create",
                "subresource": permission.subresource,
                "version": "*",
            },
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._client.create(REVIEWS, body)
        return bool((answer.get("status") or {}).get("allowed"))
