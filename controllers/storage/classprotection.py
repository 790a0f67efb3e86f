"""Protection of VolumeAttributesClasses that claims or volumes name: a finalizer, taken off last.

Reads: classes, claims and volumes, from informer caches. Writes: finalizers.

Invariant: as upstream, a class may be let go while a claim that names it is on its way into the cache: asking
for all claims of the cluster at each deletion would cost more than the claim that then has to wait.

Source: pkg/controller/volume/vacprotection
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.resource import Key, Resource
from kplane.api.types import PartialObjectMetadata
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .protection import add_finalizer, lacks, remove_finalizer, waits

FINALIZER = "kubernetes.io/vac-protection"
INDEX = "volumeAttributesClassName"


class AttributesClass(PartialObjectMetadata, frozen=True):
    """Its metadata are all that protection reads."""


AttributesClass.API = Resource(
    "storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", False, AttributesClass
)


def named_by_claim(claim: PersistentVolumeClaim) -> Iterator[str]:
    """The classes that a claim wants, has, and is on its way to."""
    status = claim.status.modify_volume_status
    names = {
        claim.spec.volume_attributes_class_name,
        claim.status.current_volume_attributes_class_name,
        status.target_volume_attributes_class_name if status is not None else None,
    }
    return (name for name in names if name)


def named_by_volume(volume: PersistentVolume) -> Iterator[str]:
    return (name for name in (volume.spec.volume_attributes_class_name,) if name)


class AttributesClassProtection:
    name = "volumeattributesclass-protection-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._queue = ctx.client, ctx.queue
        self._classes = ctx.informer(AttributesClass)
        self._claims = ctx.informer(PersistentVolumeClaim)
        self._volumes = ctx.informer(PersistentVolume)
        self._claims.add_index(INDEX, named_by_claim)
        self._volumes.add_index(INDEX, named_by_volume)
        self._classes.on_change(ctx.queue.wake)
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        before = set(named_by_claim(old)) if old is not None else set()
        self._wake(before.difference(named_by_claim(new) if new is not None else ()))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        before = set(named_by_volume(old)) if old is not None else set()
        self._wake(before.difference(named_by_volume(new) if new is not None else ()))

    def _wake(self, names: set[str]) -> None:
        """Classes that may be free now."""
        for name in sorted(names):
            self._queue.add(Key("", name))

    async def reconcile(self, key: Key) -> Requeue | None:
        found = self._classes.get(key)
        if found is None:
            return None
        if lacks(found, FINALIZER):
            await add_finalizer(self._client, found, FINALIZER)
        elif waits(found, FINALIZER) and not self._used(key.name):
            await remove_finalizer(self._client, found, FINALIZER)
        return None

    def _used(self, name: str) -> bool:
        return bool(self._claims.by_index(INDEX, name) or self._volumes.by_index(INDEX, name))
