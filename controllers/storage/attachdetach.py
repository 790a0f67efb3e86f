"""Attach-detach controller: which CSI volumes are attached to which Node, as VolumeAttachments.

Reads: Nodes, Pods, claims, volumes, CSI drivers and VolumeAttachments, from informer caches.
Writes: VolumeAttachments; `status.volumesAttached` of Nodes.
Elsewhere: attaching (external attachers), mounting (the kubelet, which says in `volumesInUse` what it holds).

Invariant: an attachment is deleted only after the Node's status has ceased to name it, and while the kubelet
does not hold it; unless the Node has been unhealthy for six minutes, or is marked out of service.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kplane.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.storage import CSIDriver, PersistentVolume, PersistentVolumeClaim, VolumeAttachment
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..config import Config
from ..nodes import OUT_OF_SERVICE, has_taint, index_by_node, is_ready, pods_on
from ..status import guarded
from .attachevents import AttachEvents
from .attachmetrics import COLLECTOR, FORCED
from .use import claims_of, index_by_claim, users

log = logging.getLogger(__name__)

MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
PREFIX = "kubernetes.io/csi/"
FORCE_SECONDS = 360.0
"""Time after which a volume is taken from an unhealthy Node that still holds it."""

BY_NODE, BY_VOLUME = "attached to node", "attachments of volume"


def unique_name(volume: PersistentVolume) -> str:
    """The volume as Nodes name it."""
    assert volume.spec.csi is not None
    return f"{PREFIX}{volume.spec.csi.driver}^{volume.spec.csi.volume_handle}"


def attachment_name(volume: PersistentVolume, node: str) -> str:
    """The same for the same volume and Node, always: also the kubelet looks for it by this name."""
    assert volume.spec.csi is not None
    text = volume.spec.csi.volume_handle + volume.spec.csi.driver + node
    return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"


def shareable(volume: PersistentVolume) -> bool:
    """Whether several Nodes may have it at a time."""
    return not {"ReadWriteMany", "ReadOnlyMany"}.isdisjoint(volume.spec.access_modes)


@dataclass(frozen=True)
class Wanted:
    """A volume, and the Pods of one Node that want it."""

    volume: PersistentVolume
    pods: list[Pod]


@dataclass(frozen=True)
class Plan:
    """What is to be done about the volumes of one Node."""

    attach: Sequence[PersistentVolume] = ()
    refused: Sequence[PersistentVolume] = ()
    """Those that another Node has."""
    shown: Sequence[str] = ()
    """What the Node's status names as attached."""
    detach: Sequence[VolumeAttachment] = ()
    held: Sequence[VolumeAttachment] = ()
    """Unwanted, and held by the kubelet."""


@dataclass
class Attached:
    """An attachment and the volume that it is of, if that is known."""

    attachment: VolumeAttachment
    volume: PersistentVolume | None = field(default=None)

    @property
    def name(self) -> str:
        csi = self.volume is not None and self.volume.spec.csi is not None
        return unique_name(self.volume) if csi and self.volume is not None else ""


def plan(
    wanted: Mapping[str, PersistentVolume], there: Sequence[Attached], elsewhere: frozenset[str],
    in_use: frozenset[str], forced: frozenset[str],
) -> Plan:  # fmt: skip
    """`wanted`: by name. `elsewhere`: names of volumes that other Nodes have. `in_use`: unique names.
    `forced`: names of attachments whose Node has had its time."""
    have = {entry.attachment.spec.source.persistent_volume_name for entry in there}
    missing = [volume for name, volume in wanted.items() if name not in have]
    refused = [volume for volume in missing if not shareable(volume) and volume.metadata.name in elsewhere]
    surplus = [
        entry
        for entry in there
        if entry.attachment.spec.source.persistent_volume_name not in wanted
        and entry.attachment.metadata.deletion_timestamp is None
    ]
    held = [
        entry.attachment
        for entry in surplus
        if entry.name in in_use and entry.attachment.metadata.name not in forced
    ]
    detach = [entry.attachment for entry in surplus if entry.attachment not in held]
    shown = sorted(
        entry.name
        for entry in there
        if entry.name
        and entry.attachment.status.attached
        and entry.attachment.metadata.deletion_timestamp is None
        and entry.attachment not in detach
    )
    return Plan([volume for volume in missing if volume not in refused], refused, shown, detach, held)


class AttachDetachController:
    name = "persistentvolume-attach-detach-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._queue = ctx.client, ctx.clock, ctx.queue
        self._options: Config = ctx.options or Config()
        self._events = AttachEvents(ctx.events, ctx.clock)
        self._last_in_use: dict[str, tuple[str, ...]] = {}
        """Node that is gone -> what its kubelet held, as it said last."""
        self._held_since: dict[str, float] = {}
        """Attachment -> since when it is unwanted and held."""
        self._given: dict[str, str] = {}
        """Volume -> the Node that it was given to; also while the cache does not show it yet."""
        self._nodes = ctx.informer(Node)
        self._pods = ctx.informer(Pod)
        self._claims = ctx.informer(PersistentVolumeClaim)
        self._volumes = ctx.informer(PersistentVolume)
        self._drivers = ctx.informer(CSIDriver)
        self._attachments = ctx.informer(VolumeAttachment)
        index_by_node(self._pods)
        index_by_claim(self._pods)
        self._attachments.add_index(BY_NODE, lambda entry: [entry.spec.node_name])
        self._attachments.add_index(BY_VOLUME, lambda entry: [entry.spec.source.persistent_volume_name or ""])
        COLLECTOR.watch(self._desired, self._actual)
        self._nodes.on_change(self._node_changed)
        self._drivers.on_change(self._driver_changed)
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)
        self._attachments.on_change(self._attachment_changed)

    def _wake(self, node: str) -> None:
        if node:
            self._queue.add(Key("", node))

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is None:
            self._last_in_use[old.metadata.name] = old.status.volumes_in_use
        elif new is not None:
            self._last_in_use.pop(new.metadata.name, None)
        if old is None or new is None or _seen(old) != _seen(new):
            self._queue.wake(old, new)

    def _driver_changed(self, old: CSIDriver | None, new: CSIDriver | None) -> None:
        """What did not have to be attached may have to be, or the other way round."""
        if old is None or new is None or old.spec != new.spec:
            for node in self._nodes.list():
                self._queue.add(node.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        for pod in (old, new):
            if pod is not None and any(True for _ in claims_of(pod)):
                self._wake(pod.spec.node_name)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if new is not None and (old is None or old.status.phase != new.status.phase):
            for pod in users(self._pods, new.key):
                self._wake(pod.spec.node_name)

    def _attachment_changed(self, old: VolumeAttachment | None, new: VolumeAttachment | None) -> None:
        changed = new or old
        assert changed is not None
        self._wake(changed.spec.node_name)
        if new is None:
            self._held_since.pop(changed.metadata.name, None)
            self._events.forget(changed.metadata.name)
            volume = changed.spec.source.persistent_volume_name or ""
            if self._given.get(volume) == changed.spec.node_name:
                del self._given[volume]
            self._wake_waiting(volume)

    def _wake_waiting(self, name: str) -> None:
        """Nodes whose Pods wait for a volume that is free now."""
        volume = self._volumes.get(Key("", name))
        if volume is not None and volume.spec.claim_ref is not None:
            ref = volume.spec.claim_ref
            for pod in users(self._pods, Key(ref.namespace, ref.name)):
                self._wake(pod.spec.node_name)

    async def reconcile(self, key: Key) -> Requeue | None:
        node = self._nodes.get(key)
        there = self._there(key.name)
        if node is None and not there:
            return None
        if node is not None and node.metadata.annotations.get(MANAGED) != "true":
            return None
        wanted = self._wanted(key.name) if node is not None else {}
        in_use = self._in_use(key.name, node, there)
        todo = plan(
            {name: entry.volume for name, entry in wanted.items()}, there, self._elsewhere(key.name), in_use,
            self._forced(node, there),
        )  # fmt: skip
        try:
            await self._carry_out(key.name, node, todo, wanted)
            for entry in there:
                if entry.attachment in todo.detach:
                    await self._detach(entry.attachment, held=entry.name in in_use, node=node)
        except Conflict:
            return Requeue(0.01)  # Kubelets write their status all the time: judge it again.
        if node is None and not self._there(key.name):
            self._last_in_use.pop(key.name, None)
        return self._wait(todo, self._pending(there, wanted))

    def _in_use(self, name: str, node: Node | None, there: Sequence[Attached]) -> frozenset[str]:
        """What the kubelet holds. Of a Node that was gone before we came, anything may be held."""
        if node is not None:
            return frozenset(node.status.volumes_in_use)
        return frozenset(self._last_in_use.get(name, tuple(entry.name for entry in there)))

    def _pending(self, there: Sequence[Attached], wanted: Mapping[str, Wanted]) -> float | None:
        """Seconds until an attacher that says nothing has to be told of."""
        waits = []
        for entry in there:
            found = wanted.get(entry.attachment.spec.source.persistent_volume_name or "")
            if found is not None and entry.attachment.metadata.deletion_timestamp is None:
                waits.append(self._events.pending(entry.attachment, found.volume, found.pods))
        return min((wait for wait in waits if wait is not None), default=None)

    def _there(self, node: str) -> list[Attached]:
        entries = self._attachments.by_index(BY_NODE, node)
        names = [(entry, entry.spec.source.persistent_volume_name or "") for entry in entries]
        return [Attached(entry, self._volumes.get(Key("", name))) for entry, name in names if name]

    def _wanted(self, node: str) -> dict[str, Wanted]:
        """By name: the volumes of the Pods that run there or will."""
        found: dict[str, Wanted] = {}
        for pod in pods_on(self._pods, node):
            for key in claims_of(pod) if not pod.terminal else ():
                volume = self._volume_of(key)
                if volume is not None and self._attachable(volume):
                    found.setdefault(volume.metadata.name, Wanted(volume, [])).pods.append(pod)
        return found

    def _volume_of(self, key: Key) -> PersistentVolume | None:
        """The volume of a bound claim."""
        claim = self._claims.get(key)
        if claim is None or claim.status.phase != "Bound":
            return None
        return self._volumes.get(Key("", claim.spec.volume_name))

    def _holders(self, volume: PersistentVolume, node: str) -> Sequence[Pod]:
        """The Pods for which other Nodes have the volume."""
        entries = self._attachments.by_index(BY_VOLUME, volume.metadata.name)
        owners = {entry.spec.node_name for entry in entries} | {self._given.get(volume.metadata.name, "")}
        ref = volume.spec.claim_ref
        pods = users(self._pods, Key(ref.namespace, ref.name)) if ref is not None else ()
        return [pod for pod in pods if pod.spec.node_name in owners - {node, ""} and not pod.terminal]

    def _desired(self) -> Iterator[PersistentVolume]:
        """A volume for each Node that should have it."""
        for node in self._nodes.list():
            if node.metadata.annotations.get(MANAGED) == "true":
                yield from (entry.volume for entry in self._wanted(node.metadata.name).values())

    def _actual(self) -> Iterator[PersistentVolume]:
        for entry in self._attachments.list():
            volume = self._volumes.get(Key("", entry.spec.source.persistent_volume_name or ""))
            if volume is not None and entry.status.attached:
                yield volume

    def _attachable(self, volume: PersistentVolume) -> bool:
        if volume.spec.csi is None:
            return False
        driver = self._drivers.get(Key("", volume.spec.csi.driver))
        return driver is None or driver.spec.attach_required

    def _elsewhere(self, node: str) -> frozenset[str]:
        everywhere = self._attachments.list()
        names = (
            entry.spec.source.persistent_volume_name for entry in everywhere if entry.spec.node_name != node
        )
        given = (name for name, owner in self._given.items() if owner != node)
        return frozenset([*(name for name in names if name), *given])

    def _forced(self, node: Node | None, there: Sequence[Attached]) -> frozenset[str]:
        names = [entry.attachment.metadata.name for entry in there]
        if node is not None and has_taint(node, OUT_OF_SERVICE):
            return frozenset(names)
        if node is not None and is_ready(node):
            return frozenset()
        if self._options.disable_force_detach_on_timeout:
            return frozenset()
        now = self._clock.monotonic()
        return frozenset(name for name in names if now - self._held_since.get(name, now) >= FORCE_SECONDS)

    async def _carry_out(
        self, name: str, node: Node | None, todo: Plan, wanted: Mapping[str, Wanted]
    ) -> None:
        for volume in todo.refused:
            pods = wanted[volume.metadata.name].pods
            self._events.refused(volume, name, pods, self._holders(volume, name))
        for volume in todo.attach:
            self._events.accepted(volume, name)
            await self._attach(volume, name)
        if node is not None:
            await self._show(node, todo.shown, wanted)

    async def _attach(self, volume: PersistentVolume, node: str) -> None:
        assert volume.spec.csi is not None
        body: Object = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": attachment_name(volume, node)},
            "spec": {
                "attacher": volume.spec.csi.driver,
                "nodeName": node,
                "source": {"persistentVolumeName": volume.metadata.name},
            },
        }
        name = volume.metadata.name
        if not shareable(volume) and self._given.setdefault(name, node) != node:
            return  # Another Node was given it a moment ago; its end wakes this one.
        try:
            await self._client.create(VolumeAttachment, body)
        except AlreadyExists:
            return  # The cache lagged behind.
        except ApiError:
            if self._given.get(name) == node:
                del self._given[name]
            raise
        log.info("attaching volume=%s node=%s", volume.metadata.name, node)

    async def _detach(self, entry: VolumeAttachment, *, held: bool, node: Node | None) -> None:
        try:
            await self._client.delete(VolumeAttachment, entry.metadata.name, uid=entry.metadata.uid)
        except NotFound:
            return
        log.info("detaching attachment=%s node=%s", entry.metadata.name, entry.spec.node_name)
        if held:
            tainted = node is not None and has_taint(node, OUT_OF_SERVICE)
            FORCED["out-of-service" if tainted else "timeout"] += 1

    async def _show(self, node: Node, shown: Sequence[str], wanted: Mapping[str, Wanted]) -> None:
        before = [entry.name for entry in node.status.volumes_attached]
        others = [name for name in before if not name.startswith(PREFIX)]
        after = [*others, *shown]
        if sorted(before) == sorted(after):
            return
        entries = [{"name": name, "devicePath": ""} for name in after]
        body = guarded(node.metadata, {"status": {"volumesAttached": entries or None}})
        try:
            await self._client.patch(Node, node.metadata.name, "", body, subresource="status")
        except NotFound:
            return
        for entry in wanted.values():
            if unique_name(entry.volume) in shown and unique_name(entry.volume) not in before:
                self._events.attached(entry.volume, entry.pods)

    def _wait(self, todo: Plan, pending: float | None) -> Requeue | None:
        """Until the first of those that are held has been so for long enough, or an attacher is late."""
        now = self._clock.monotonic()
        for entry in todo.held:
            self._held_since.setdefault(entry.metadata.name, now)
        waits = [] if pending is None else [pending]
        if todo.held and not self._options.disable_force_detach_on_timeout:
            first = min(self._held_since[entry.metadata.name] for entry in todo.held)
            waits.append(max(first + FORCE_SECONDS - now, 1.0))
        return Requeue(min(waits)) if waits else None


def _seen(node: Node) -> tuple[object, ...]:
    """What of a Node this controller looks at."""
    return (
        node.metadata.uid, node.metadata.annotations.get(MANAGED), node.status.volumes_in_use,
        node.status.volumes_attached, is_ready(node), has_taint(node, OUT_OF_SERVICE),
    )  # fmt: skip
