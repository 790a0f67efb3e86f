"""What Pods are told of their volumes on the way to a Node. Texts: upstream's attach-detach controller.

Each thing is told once: an error again when the attacher reports another one, silence of an attacher every
two minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from kplane.api.clock import Clock
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume, VolumeAttachment
from kplane.client.events import EventRecorder

PATIENCE_SECONDS = 120.0
"""Time in which an attacher has to say something."""


class AttachEvents:
    def __init__(self, events: EventRecorder, clock: Clock) -> None:
        self._events, self._clock = events, clock
        self._errors: dict[str, tuple[datetime | None, str]] = {}
        """Attachment -> the error that was told last."""
        self._silent_since: dict[str, float] = {}
        self._refused: set[tuple[str, str]] = set()
        """Volume and Node of those who were told that another Node has the volume."""

    def refused(
        self, volume: PersistentVolume, node: str, pods: Iterable[Pod], holders: Sequence[Pod]
    ) -> None:
        """`holders`: the Pods for which other Nodes have the volume."""
        name = volume.metadata.name
        if (name, node) in self._refused:
            return
        self._refused.add((name, node))
        why = "Volume is already exclusively attached to one node and can't be attached to another"
        if holders:
            names = ", ".join(sorted(pod.metadata.name for pod in holders))
            why = f"Volume is already used by pod(s) {names}"
        self._tell(pods, f'Multi-Attach error for volume "{name}" {why}')

    def accepted(self, volume: PersistentVolume, node: str) -> None:
        """The volume is no more refused to the Node."""
        self._refused.discard((volume.metadata.name, node))

    def attached(self, volume: PersistentVolume, pods: Iterable[Pod]) -> None:
        text = f'AttachVolume.Attach succeeded for volume "{volume.metadata.name}" '
        for pod in pods:
            self._events.event(pod, "Normal", "SuccessfulAttachVolume", text)

    def pending(self, entry: VolumeAttachment, volume: PersistentVolume, pods: Iterable[Pod]) -> float | None:
        """Tell why the attachment is not there yet. Seconds until its attacher counts as silent; None for
        nothing to wait for."""
        name, error = entry.metadata.name, entry.status.attach_error
        if entry.status.attached:
            self.forget(name)
            return None
        if error is not None:
            if self._errors.get(name) != (error.time, error.message):
                self._errors[name] = (error.time, error.message)
                self._failed(volume, pods, error.message)
            return None
        now = self._clock.monotonic()
        left = self._silent_since.setdefault(name, now) + PATIENCE_SECONDS - now
        if left > 0:
            return left
        self._silent_since[name] = now
        source = volume.spec.csi
        assert source is not None
        driver, handle = source.driver, source.volume_handle
        why = f"timed out waiting for external-attacher of {driver} CSI driver to attach volume {handle}"
        self._failed(volume, pods, why)
        return PATIENCE_SECONDS

    def forget(self, attachment: str) -> None:
        self._errors.pop(attachment, None)
        self._silent_since.pop(attachment, None)

    def _failed(self, volume: PersistentVolume, pods: Iterable[Pod], why: str) -> None:
        self._tell(pods, f'AttachVolume.Attach failed for volume "{volume.metadata.name}" : {why}')

    def _tell(self, pods: Iterable[Pod], text: str) -> None:
        for pod in pods:
            self._events.event(pod, "Warning", "FailedAttachVolume", text)
