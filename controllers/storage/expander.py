"""Volume expander: says of claims that should grow that an external resizer has to do it.

Reads: claims and volumes, from informer caches. Writes: Events, and the resizer of volumes whose provisioner
was part of Kubernetes once. Elsewhere: growing (external resizers, the kubelet); what may grow (admission).
"""

from __future__ import annotations

from kplane.api.errors import NotFound
from kplane.api.resource import Key
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..status import guarded
from .binding import MIGRATED, PROVISIONED_BY
from .matching import size

RESIZER = "volume.kubernetes.io/storage-resizer"
MIGRATED_TOLD = "CSI migration enabled for {}; waiting for external resizer to expand the pvc"
TOLD = "waiting for an external controller to expand this PVC"


def grows(claim: PersistentVolumeClaim) -> bool:
    """Whether a bound claim asks for more than it has."""
    if claim.status.phase != "Bound" or not claim.spec.volume_name:
        return False
    return size(claim.spec.resources.requests) > size(claim.status.capacity)


class VolumeExpander:
    name = "persistentvolume-expander-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._volumes = ctx.informer(PersistentVolume)
        self._claims = ctx.informer(PersistentVolumeClaim)
        self._claims.on_change(self._claim_changed)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        """Only another wish counts, so that each is told once."""
        if new is None or not grows(new):
            return
        if old is None or size(old.spec.resources.requests) < size(new.spec.resources.requests):
            self._queue.add(new.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        claim = self._claims.get(key)
        if claim is None or not grows(claim):
            return None
        volume = self._volumes.get(Key("", claim.spec.volume_name))
        if volume is None:
            return Requeue(1)  # The caches of claims and volumes need not be equally new.
        ref = volume.spec.claim_ref
        if ref is None or ref.uid != claim.metadata.uid:
            return None
        plugin = volume.metadata.annotations.get(PROVISIONED_BY, "")
        text = MIGRATED_TOLD.format(plugin) if plugin in MIGRATED else TOLD
        self._events.event(claim, "Normal", "ExternalExpanding", text)
        if plugin in MIGRATED:
            await self._name_resizer(claim, MIGRATED[plugin])
        return None

    async def _name_resizer(self, claim: PersistentVolumeClaim, resizer: str) -> None:
        if claim.metadata.annotations.get(RESIZER) == resizer:
            return
        body = guarded(claim.metadata, {"metadata": {"annotations": {RESIZER: resizer}}})
        try:
            await self._client.patch(
                PersistentVolumeClaim, claim.key.name, claim.key.namespace, body, subresource="status"
            )
        except NotFound:
            return
