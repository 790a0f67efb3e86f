"""Protection of claims that Pods use and of volumes that claims are bound to: a finalizer, taken off last.

Reads: claims, volumes and Pods, from informer caches; Pods of one namespace live, before a claim is let go.
Writes: finalizers. Elsewhere: the finalizer of new objects (admission).

Invariant: a claim is let go only where the API server itself knows no Pod on a node that uses it.
"""

from __future__ import annotations

import logging
from typing import Any

from kplane.api.errors import NotFound
from kplane.api.resource import Key
from kplane.api.types import Pod, View
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.client.controller import Context
from kplane.client.rest import Client
from kplane.client.workqueue import Requeue

from ..status import guarded
from .use import claims_of, index_by_claim, users, uses

log = logging.getLogger(__name__)

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


def lacks(obj: View, finalizer: str) -> bool:
    """Whether the object should have the finalizer and does not."""
    meta = obj.metadata
    return meta.deletion_timestamp is None and finalizer not in meta.finalizers


def waits(obj: View, finalizer: str) -> bool:
    """Whether the finalizer keeps the object from going."""
    meta = obj.metadata
    return meta.deletion_timestamp is not None and finalizer in meta.finalizers


async def add_finalizer(client: Client, obj: View, finalizer: str) -> None:
    await _write(client, obj, [*obj.metadata.finalizers, finalizer])
    log.info("protected kind=%s key=%s", obj.API.kind, obj.key)


async def remove_finalizer(client: Client, obj: View, finalizer: str) -> None:
    await _write(client, obj, [name for name in obj.metadata.finalizers if name != finalizer])
    log.info("let go kind=%s key=%s", obj.API.kind, obj.key)


async def _write(client: Client, obj: View, finalizers: list[str]) -> None:
    body = guarded(obj.metadata, {"metadata": {"finalizers": finalizers}})
    try:
        await client.patch(obj.API, obj.metadata.name, obj.metadata.namespace, body)
    except NotFound:
        return


class ClaimProtection:
    name = "persistentvolumeclaim-protection-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._queue = ctx.queue
        self._claims = ctx.informer(PersistentVolumeClaim)
        self._pods = ctx.informer(Pod)
        index_by_claim(self._pods)
        self._claims.on_change(self._claim_changed)
        self._pods.on_change(self._pod_changed)

    def _claim_changed(self, old: Any, new: PersistentVolumeClaim | None) -> None:
        if new is not None and (lacks(new, CLAIM_FINALIZER) or waits(new, CLAIM_FINALIZER)):
            self._queue.add(new.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """What a Pod held may be free when it is gone, or shut down."""
        for pod in (old, new):
            for key in claims_of(pod) if pod is not None else ():
                claim = self._claims.get(key)
                if claim is not None and waits(claim, CLAIM_FINALIZER):
                    self._queue.add(key)

    async def reconcile(self, key: Key) -> Requeue | None:
        claim = self._claims.get(key)
        if claim is None:
            return None
        if lacks(claim, CLAIM_FINALIZER):
            await add_finalizer(self._client, claim, CLAIM_FINALIZER)
        elif waits(claim, CLAIM_FINALIZER) and not await self._used(claim):
            await remove_finalizer(self._client, claim, CLAIM_FINALIZER)
        return None

    async def _used(self, claim: PersistentVolumeClaim) -> bool:
        if any(uses(pod, claim) for pod in users(self._pods, claim.key)):
            return True
        # The cache may lack a Pod that was bound a moment ago.
        live = await self._client.list(Pod, claim.metadata.namespace)
        return any(uses(pod, claim) for pod in live.items)


class VolumeProtection:
    name = "persistentvolume-protection-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._volumes = ctx.informer(PersistentVolume)
        self._volumes.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        volume = self._volumes.get(key)
        if volume is None:
            return None
        if lacks(volume, VOLUME_FINALIZER):
            await add_finalizer(self._client, volume, VOLUME_FINALIZER)
        elif waits(volume, VOLUME_FINALIZER) and volume.status.phase != "Bound":
            await remove_finalizer(self._client, volume, VOLUME_FINALIZER)
        return None
