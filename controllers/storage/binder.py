"""Volume binder: claims and volumes find each other, and volumes whose claim has gone are given back.

Reads: claims, volumes, storage classes and Pods, from informer caches; a claim live before its volume is
released. Writes: `spec.claimRef` and phase of volumes; `spec.volumeName`, provisioner and phase of claims.
Elsewhere: making and deleting what is behind a volume (external provisioners), claims whose Pod comes first
(the scheduler), decisions (binding.py, matching.py).

Invariant: the volume names its claim before the claim names its volume; each write is refused by the server
if the object has changed since it was read, so that no volume ever has two claims.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue, Terminal

from ..config import Config
from ..latest import Latest
from ..status import guarded
from . import binding, matching
from .binding import Ask, Bind, ClaimStep, Lose, Mismatch, Phase, Provision, Recycle, Unbind, VolumeStep, Wait
from .matching import BIND_COMPLETED, BOUND_BY_CONTROLLER
from .metrics import COLLECTOR, DEFAULTED, NOT_DEFAULTED
from .recycler import RecycleFailed, Recycler, volume_of
from .use import claims_of, index_by_claim, users

log = logging.getLogger(__name__)

CLASS_INDEX = "storage class"
MANY = 100
"""So many claims that wait may be looked at again in one sync period."""
DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The class of claims that name none: of several defaults the newest, then the first by name."""
    marked = [
        entry
        for entry in classes
        if any(entry.metadata.annotations.get(name) == "true" for name in DEFAULT_CLASS)
    ]
    marked.sort(key=lambda entry: entry.metadata.name)
    return max(marked, key=lambda entry: str(entry.metadata.creation_timestamp), default=None)


class VolumeBinder:
    name = "persistentvolume-binder-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._options: Config = ctx.options or Config()
        self._claims = ctx.informer(PersistentVolumeClaim)
        self._volumes = ctx.informer(PersistentVolume)
        self._classes = ctx.informer(StorageClass)
        self._pods = ctx.informer(Pod)
        COLLECTOR.watch(self._volumes, self._claims)
        self._claims.add_index(CLASS_INDEX, _unbound_class)
        index_by_claim(self._pods)
        self._recycler = Recycler(ctx.client, ctx.clock, self._options, self._pods)
        self._waiting: set[Key] = set()
        self._known_claims = Latest(self._claims)
        self._known_volumes = Latest(self._volumes)
        self._claims.on_change(self._claim_changed)
        self._volumes.on_change(self._volume_changed)
        self._classes.on_change(self._class_changed)
        self._pods.on_change(self._pod_changed)

    # One queue for both kinds: keys of claims have a namespace, those of volumes have none.

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if new is not None:
            self._queue.add(new.key)
        for claim in (old, new):
            if claim is not None and claim.spec.volume_name:
                self._queue.add(Key("", claim.spec.volume_name))

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        volume = new or old
        assert volume is not None
        self._queue.add(volume.key)
        ref = volume.spec.claim_ref
        if ref is not None:
            self._queue.add(Key(ref.namespace, ref.name))
        else:
            self._wake_claims(volume.storage_class)

    def _class_changed(self, old: StorageClass | None, new: StorageClass | None) -> None:
        for entry in (old, new):
            if entry is not None:
                self._wake_claims(entry.metadata.name)
        self._wake_claims("")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Claims that wait for a consumer say for whom; Pods that empty volumes end."""
        for pod in (old, new):
            if pod is not None and (name := volume_of(pod)):
                self._queue.add(Key("", name))
        if new is None or (old is not None and old.spec.node_name == new.spec.node_name):
            return
        for key in claims_of(new):
            claim = self._claims.get(key)
            if claim is not None and not binding.completed(claim):
                self._queue.add(key)

    def _wake_claims(self, class_name: str) -> None:
        for claim in self._claims.by_index(CLASS_INDEX, class_name):
            self._queue.add(claim.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        try:
            if key.namespace:
                return await self._reconcile_claim(key)
            return await self._reconcile_volume(key)
        except NotFound:
            return None  # It has just been deleted; the informer wakes whom that concerns.
        except Conflict:
            return Requeue(0.01)  # Somebody else has just written it: judge it again.
        return None

    async def _reconcile_claim(self, key: Key) -> Requeue | None:
        cached = self._claims.get(key)
        if cached is None:
            self._waiting.discard(key)
            return None
        claim = self._known_claims.of(cached)
        try:
            step = self._claim_step(claim)
        except matching.Unreadable as error:
            raise Terminal(str(error)) from error
        if isinstance(step, Wait | Provision) and not claim.has_class and not claim.spec.volume_name:
            # A default class that came later than the claim: another step follows from it.
            chosen = default_class(self._classes.list())
            if chosen is not None:
                DEFAULTED.inc()
                with NOT_DEFAULTED.count_exceptions(ApiError):
                    await self._patch_claim(claim, {"spec": {"storageClassName": chosen.metadata.name}})
                return None
        await self._take_claim_step(claim, step)
        return self._again(key, step)

    def _again(self, key: Key, step: ClaimStep) -> Requeue | None:
        """Events are kept for an hour only: what still waits says so again. The more there are the less
        often, as each look costs a search among all volumes."""
        if not isinstance(step, Wait | Provision):
            self._waiting.discard(key)
            return None
        self._waiting.add(key)
        return Requeue(self._options.pvclaimbinder_sync_period * max(1.0, len(self._waiting) / MANY))

    def _claim_step(self, claim: PersistentVolumeClaim) -> ClaimStep:
        named = self._volume(claim.spec.volume_name) if claim.spec.volume_name else None
        if binding.completed(claim):
            return binding.bound_claim(claim, named)
        if claim.spec.volume_name:
            return binding.claim_with_volume(claim, named)
        chosen = self._classes.get(Key("", claim.storage_class)) if claim.storage_class else None
        volumes = (self._known_volumes.of(volume) for volume in self._volumes.list())
        found = matching.best_match(claim, volumes, delayed=binding.is_delayed(claim, chosen))
        if found is not None:
            return Bind(found)
        pods = users(self._pods, claim.key)
        waiting = sorted(pod.metadata.name for pod in pods if not pod.spec.node_name and not pod.terminal)
        return binding.claim_without_match(claim, chosen, waiting)

    def _volume(self, name: str) -> PersistentVolume | None:
        cached = self._volumes.get(Key("", name))
        return None if cached is None else self._known_volumes.of(cached)

    async def _take_claim_step(self, claim: PersistentVolumeClaim, step: ClaimStep) -> None:
        if isinstance(step, Bind):
            await self._bind(claim, step.volume)
        elif isinstance(step, Lose):
            if claim.status.phase != "Lost":
                self._events.event(claim, "Warning", step.reason, step.message)
                await self._write_claim_phase(claim, "Lost", None)
        elif isinstance(step, Wait):
            if step.reason:
                self._events.event(claim, step.kind, step.reason, step.message)
            await self._write_claim_phase(claim, "Pending", None)
        else:
            await self._provision(claim, step.provisioner)

    async def _provision(self, claim: PersistentVolumeClaim, provisioner: str) -> None:
        if not self._options.enable_dynamic_provisioning:
            return
        wanted = dict.fromkeys(binding.PROVISIONERS, provisioner)
        if not wanted.items() <= claim.metadata.annotations.items():
            claim = await self._patch_claim(claim, {"metadata": {"annotations": wanted}})
        text = binding.EXTERNAL.format(provisioner)
        self._events.event(claim, "Normal", "ExternalProvisioning", text)

    async def _bind(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """The volume names the claim, then the claim the volume; whatever of that is done already is left."""
        volume = await self._bind_volume(claim, volume)
        await self._write_volume_phase(volume, Phase("Bound"))
        spec: Object = {}
        annotations: Object = {}
        if claim.spec.volume_name != volume.metadata.name:
            spec = {"volumeName": volume.metadata.name}
            annotations[BOUND_BY_CONTROLLER] = "yes"
        if not binding.completed(claim):
            annotations[BIND_COMPLETED] = "yes"
        if spec or annotations:
            log.info("bound claim=%s volume=%s", claim.key, volume.metadata.name)
            body: Object = {"metadata": {"annotations": annotations}}
            claim = await self._patch_claim(claim, body | ({"spec": spec} if spec else {}))
        await self._write_claim_phase(claim, "Bound", volume)

    async def _bind_volume(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolume:
        ref = volume.spec.claim_ref
        if ref is not None and ref.uid == claim.metadata.uid:
            return volume
        meta = claim.metadata
        body: Object = {
            "spec": {
                "claimRef": {
                    "kind": "PersistentVolumeClaim",
                    "apiVersion": "v1",
                    "namespace": meta.namespace,
                    "name": meta.name,
                    "uid": meta.uid,
                    "resourceVersion": meta.resource_version,
                }
            }
        }
        if not matching.is_reserved_for(volume, claim):
            body["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: "yes"}}
        return await self._patch_volume(volume, body)

    async def _reconcile_volume(self, key: Key) -> Requeue | None:
        volume = self._volume(key.name)
        if volume is None:
            return None
        claim = await self._claim_of(volume)
        step = binding.volume_step(volume, claim)
        if isinstance(step, Recycle):
            return await self._recycle(volume)
        await self._take_volume_step(volume, claim, step)
        return None

    async def _recycle(self, volume: PersistentVolume) -> Requeue | None:
        """Empty the volume, unless Pods still use what it was."""
        if left := self._recycler.wait(volume):
            return Requeue(left)
        ref = volume.spec.claim_ref
        claim = Key(ref.namespace, ref.name) if ref is not None else Key("", "")
        using = [] if self._claims.get(claim) else [
            str(pod.key) for pod in users(self._pods, claim) if not pod.terminal
        ]  # fmt: skip
        if using:
            text = f"Volume is used by pods: {','.join(sorted(using))}"
            self._events.event(volume, "Normal", "VolumeFailedRecycle", text)
            return Requeue(self._options.pvclaimbinder_sync_period)
        try:
            progress = await self._recycler.step(volume)
        except RecycleFailed as error:
            await self._write_volume_phase(
                volume, Phase("Failed", f"Recycle failed: {error}", "VolumeFailedRecycle")
            )
            return Requeue(self._recycler.wait(volume) or 1.0)
        if progress.done:
            self._events.event(volume, "Normal", "VolumeRecycled", "Volume recycled")
            await self._unbind(volume, Unbind(forget=BOUND_BY_CONTROLLER in volume.metadata.annotations))
        return None if progress.wait is None else Requeue(progress.wait)

    async def _claim_of(self, volume: PersistentVolume) -> PersistentVolumeClaim | None:
        """The very claim that the volume names."""
        ref = volume.spec.claim_ref
        if ref is None or not ref.uid:
            return None
        claim = self._known_claims.get(Key(ref.namespace, ref.name))
        if claim is not None and claim.metadata.uid == ref.uid:
            return claim
        if volume.status.phase in ("Released", "Failed"):
            return None
        # Never release on what a cache says alone.
        try:
            live = await self._client.get(PersistentVolumeClaim, ref.name, ref.namespace)
        except NotFound:
            return None
        return live if live.metadata.uid == ref.uid else None

    async def _take_volume_step(
        self, volume: PersistentVolume, claim: PersistentVolumeClaim | None, step: VolumeStep
    ) -> None:
        if isinstance(step, Phase):
            await self._write_volume_phase(volume, step)
            ref = volume.spec.claim_ref
            if ref is not None and step.name == "Available":
                self._queue.add(Key(ref.namespace, ref.name))
        elif isinstance(step, Unbind):
            await self._unbind(volume, step)
        elif isinstance(step, Mismatch) and claim is not None:
            self._tell_mismatch(volume, claim)
        elif isinstance(step, Ask) and claim is not None:
            self._queue.add(claim.key)

    async def _unbind(self, volume: PersistentVolume, step: Unbind) -> None:
        body: Object = {"spec": {"claimRef": None if step.forget else {"uid": None}}}
        if step.forget:
            body["metadata"] = {"annotations": {BOUND_BY_CONTROLLER: None}}
        volume = await self._patch_volume(volume, body)
        log.info("unbound volume=%s", volume.metadata.name)
        await self._write_volume_phase(volume, Phase("Available"))

    def _tell_mismatch(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        name, wanted = volume.metadata.name, claim.metadata.name
        text = (
            f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{wanted}" due to incompatible '
            "volumeMode."
        )
        self._events.event(volume, "Warning", "VolumeMismatch", text)
        text = (
            f'Cannot bind PersistentVolume "{name}" to requested PersistentVolumeClaim "{wanted}" due to '
            "incompatible volumeMode."
        )
        self._events.event(claim, "Warning", "VolumeMismatch", text)

    async def _write_volume_phase(self, volume: PersistentVolume, phase: Phase) -> None:
        if volume.status.phase == phase.name:
            return  # Its message may be somebody else's, or that of the first failure.
        changes: Object = {"phase": phase.name, "message": phase.message or None}
        await self._patch_volume(volume, {"status": changes}, subresource="status")
        log.info("volume key=%s phase=%s", volume.key, phase.name)
        if phase.reason:
            self._events.event(volume, "Warning", phase.reason, phase.message)

    async def _write_claim_phase(
        self, claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None
    ) -> None:
        status = _claim_status(claim, phase, volume)
        if status:
            await self._patch_claim(claim, {"status": status}, subresource="status")

    async def _patch_claim(
        self, claim: PersistentVolumeClaim, body: Object, subresource: str = ""
    ) -> PersistentVolumeClaim:
        meta = claim.metadata
        try:
            answer = await self._client.patch(
                PersistentVolumeClaim, meta.name, meta.namespace, guarded(meta, body), subresource=subresource
            )
        except Conflict:
            self._known_claims.forget(claim.key)
            raise
        return self._known_claims.wrote(answer)

    async def _patch_volume(
        self, volume: PersistentVolume, body: Object, subresource: str = ""
    ) -> PersistentVolume:
        meta = volume.metadata
        try:
            answer = await self._client.patch(
                PersistentVolume, meta.name, "", guarded(meta, body), subresource=subresource
            )
        except Conflict:
            self._known_volumes.forget(volume.key)
            raise
        return self._known_volumes.wrote(answer)


def _claim_status(claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None) -> Object:
    """What of the claim's status changes, as a merge patch; empty for nothing."""
    status = claim.status
    changes: Object = {}
    if status.phase != phase:
        changes["phase"] = phase
    modes = volume.spec.access_modes if volume is not None else ()
    if status.access_modes != modes:
        changes["accessModes"] = list(modes) or None
    if volume is None:
        if status.capacity:
            changes["capacity"] = None
    elif "storage" in volume.spec.capacity and (status.phase != phase or "storage" not in status.capacity):
        # Later sizes are told by those who make volumes grow.
        changes["capacity"] = {"storage": volume.spec.capacity["storage"]}
    attributes = volume.spec.volume_attributes_class_name if volume is not None else None
    if attributes and status.phase != phase and status.current_volume_attributes_class_name != attributes:
        changes["currentVolumeAttributesClassName"] = attributes
    return changes


def _unbound_class(claim: PersistentVolumeClaim) -> list[str]:
    """The class of a claim that has no volume yet, as an index."""
    return [] if binding.completed(claim) else [claim.storage_class]
