"""Cleaners: certificate signing requests, and requests for certificates of Pods, go when nobody can need them
any more.

Reads: CertificateSigningRequests and PodCertificateRequests, from informer caches. Writes: their deletion.

Source: pkg/controller/certificates/cleaner. Upstream looks at all of them every hour (those of Pods: every 5
minutes); here each is looked at when its time has come.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cryptography import x509

from kplane.api.errors import NotFound
from kplane.api.resource import Key, Resource
from kplane.api.types import PartialObjectMetadata
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .request import SigningRequest

log = logging.getLogger(__name__)

DECIDED_FOR = timedelta(hours=1)
PENDING_FOR = timedelta(hours=24)
OF_POD_FOR = timedelta(minutes=15)
"""However slow, by then the kubelet has its certificate, or has given up."""

POD_REQUESTS = Resource(
    "certificates.k8s.io", "v1", "podcertificaterequests", "PodCertificateRequest", True,
    PartialObjectMetadata,
)  # fmt: skip


def deadlines(request: SigningRequest) -> Iterator[datetime]:
    """Every moment from which the request may go."""
    created = request.metadata.creation_timestamp
    if not request.status.conditions and created is not None:
        yield created + PENDING_FOR
    for condition in request.status.conditions:
        moment = condition.last_update_time
        over = condition.type in ("Denied", "Failed") or bool(request.status.certificate)
        if moment is not None and (over or condition.type == "Approved"):
            # What was approved and is signed by nobody has waited long enough after a day.
            yield moment + (DECIDED_FOR if over else PENDING_FOR)
    ends = expiry(request.status.certificate)
    if ends is not None and any(condition.type == "Approved" for condition in request.status.conditions):
        yield ends


def expiry(certificate: str) -> datetime | None:
    """When an issued certificate (PEM in base64) ends; None for none, and for what cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(base64.b64decode(certificate))
    except ValueError:
        return None
    return found[0].not_valid_after_utc.astimezone(UTC)


class CSRCleanerController:
    name = "certificatesigningrequest-cleaner-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._requests = ctx.informer(SigningRequest)
        self._requests.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Delete the request if its time has come. Safe to repeat at any time."""
        request = self._requests.get(key)
        moment = min(deadlines(request), default=None) if request is not None else None
        if request is None or moment is None:
            return None
        left = (moment - self._clock.now()).total_seconds()
        if left >= 0:
            return Requeue(left + 1)
        try:
            await self._client.delete(SigningRequest, key.name, uid=request.metadata.uid)
        except NotFound:
            return None  # Somebody else has deleted it.
        log.info("deleted old request=%s", key.name)
        return None


class PodCertificateRequestCleaner:
    name = "podcertificaterequest-cleaner-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._requests = ctx.informer(POD_REQUESTS)
        self._requests.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Delete the request if its time has come, whatever became of it. Safe to repeat at any time."""
        request = self._requests.get(key)
        if request is None or request.metadata.creation_timestamp is None:
            return None
        left = (request.metadata.creation_timestamp + OF_POD_FOR - self._clock.now()).total_seconds()
        if left > 0:
            return Requeue(left)
        try:
            await self._client.delete(POD_REQUESTS, key.name, key.namespace, uid=request.metadata.uid)
        except NotFound:
            return None  # Somebody else has deleted it.
        log.info("deleted old request of pod request=%s", key)
        return None
