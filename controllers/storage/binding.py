"""What to do next with a claim or a volume: one decision at a time. No I/O.

Rules, reasons and texts: upstream's `pkg/controller/volume/persistentvolume`.
Elsewhere: which volume suits (matching.py), carrying out (binder.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

from .matching import BIND_COMPLETED, BOUND_BY_CONTROLLER, is_reserved_for, mismatch

SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
MIGRATED_TO = "pv.kubernetes.io/migrated-to"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
IN_TREE = "kubernetes.io/"

MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Provisioners that were part of Kubernetes once, and the CSI drivers that took over."""

NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and "
    "correctly registered."
)


@dataclass(frozen=True)
class Bind:
    volume: PersistentVolume


@dataclass(frozen=True)
class Wait:
    """The claim stays Pending; an event says why where there is something to say."""

    kind: Literal["Normal", "Warning"] = "Normal"
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Lose:
    """The claim had a volume and has none any more."""

    reason: str
    message: str


@dataclass(frozen=True)
class Provision:
    """The claim waits for the provisioner of this name."""

    provisioner: str


ClaimStep = Bind | Wait | Lose | Provision


def bound_claim(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> ClaimStep:
    """The step of a claim that was bound once; `volume` is the one that it names."""
    if not claim.spec.volume_name:
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return Lose("ClaimLost", text)
    if volume is None:
        return Lose("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    ref = volume.spec.claim_ref
    if ref is None or ref.uid == claim.metadata.uid:
        return Bind(volume)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return Lose("ClaimMisbound", text)


def claim_with_volume(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> ClaimStep:
    """The step of an unbound claim that asks for a volume by name."""
    if volume is None:
        return Wait()
    if volume.spec.claim_ref is None:
        why = mismatch(volume, claim)
        if not why:
            return Bind(volume)
        text = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
        return Wait("Warning", "VolumeMismatch", text)
    if is_reserved_for(volume, claim):
        return Bind(volume)
    text = f'volume "{volume.metadata.name}" already bound to a different claim.'
    return Wait("Warning", "FailedBinding", text)


def is_delayed(claim: PersistentVolumeClaim, chosen: StorageClass | None) -> bool:
    """Whether the scheduler has a say in the claim's volume."""
    return chosen is not None and chosen.volume_binding_mode == "WaitForFirstConsumer"


def claim_without_match(
    claim: PersistentVolumeClaim, chosen: StorageClass | None, waiting_pods: Sequence[str]
) -> ClaimStep:
    """The step of an unbound claim for which there is no volume. `waiting_pods`: names of Pods that use the
    claim and have no node."""
    if is_delayed(claim, chosen) and SELECTED_NODE not in claim.metadata.annotations:
        return _wait_for_consumer(waiting_pods)
    if not claim.storage_class:
        return Wait("Normal", "FailedBinding", NO_VOLUME)
    if chosen is None:
        text = f'storageclass.storage.k8s.io "{claim.storage_class}" not found'
        return Wait("Warning", "ProvisioningFailed", text)
    provisioner = MIGRATED.get(chosen.provisioner, chosen.provisioner)
    if provisioner.startswith(IN_TREE):
        return Wait("Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
    return Provision(provisioner)


def _wait_for_consumer(pods: Sequence[str]) -> Wait:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Wait("Normal", "WaitForFirstConsumer", text)
    noun = "pods" if len(pods) > 1 else "pod"
    return Wait("Normal", "WaitForPodScheduled", f"waiting for {noun} {','.join(pods)} to be scheduled")


@dataclass(frozen=True)
class Phase:
    """The volume should be in this phase."""

    name: str
    message: str = ""
    reason: str = ""
    """Of the warning that says so; empty for none."""


@dataclass(frozen=True)
class Unbind:
    """The volume loses the claim that it names; `forget`: also the reservation."""

    forget: bool


@dataclass(frozen=True)
class Mismatch:
    """The volume is reserved for a claim that can't have it."""


@dataclass(frozen=True)
class Recycle:
    """The volume is to be emptied, and then to be had again."""


@dataclass(frozen=True)
class Ask:
    """The claim has to take the next step."""


VolumeStep = Phase | Unbind | Mismatch | Recycle | Ask | None


def volume_step(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> VolumeStep:
    """The step of a volume. `claim` is the one that it names; None where that has gone, or was made anew."""
    ref = volume.spec.claim_ref
    if ref is None or not ref.uid:
        return Phase("Available")
    if claim is None:
        return _released(volume)
    if not claim.spec.volume_name:
        return Mismatch() if claim.spec.volume_mode != volume.spec.volume_mode else Ask()
    if claim.spec.volume_name == volume.metadata.name:
        return Phase("Bound")
    annotations = volume.metadata.annotations
    # The claim has found another volume. One that was made for it is of no use to anybody else.
    if PROVISIONED_BY in annotations and volume.spec.persistent_volume_reclaim_policy == "Delete":
        return _released(volume)
    return Unbind(forget=BOUND_BY_CONTROLLER in annotations)


def _released(volume: PersistentVolume) -> VolumeStep:
    """First the phase says so, then the reclaim policy is followed."""
    if volume.status.phase not in ("Released", "Failed"):
        return Phase("Released")
    policy = volume.spec.persistent_volume_reclaim_policy
    if MIGRATED_TO in volume.metadata.annotations or policy == "Retain":
        return None
    if policy == "Delete":
        why = _cannot_delete(volume)
        return Phase("Failed", why, "VolumeFailedDelete") if why else None
    if policy == "Recycle":
        if volume.spec.nfs is not None or volume.spec.host_path is not None:
            return Recycle()
        return Phase("Failed", "No recycler plugin found for the volume!", "VolumeFailedRecycle")
    text = "Volume has unrecognized PersistentVolumeReclaimPolicy"
    return Phase("Failed", text, "VolumeUnknownReclaimPolicy")


def _cannot_delete(volume: PersistentVolume) -> str:
    """Why nobody deletes what is behind the volume; empty where its provisioner does."""
    provisioner = volume.metadata.annotations.get(PROVISIONED_BY, "")
    if provisioner and not provisioner.startswith(IN_TREE):
        return ""
    path = volume.spec.host_path.path if volume.spec.host_path else None
    if path is not None and not path.startswith("/tmp/"):  # noqa: S108 - a path of volumes, not ours
        return f"host_path deleter only supports /tmp/.+ but received provided {path}"
    known = volume.spec.nfs is not None or path is not None
    why = "no deletable volume plugin matched" if known else "no volume plugin matched"
    return f'error getting deleter volume plugin for volume "{volume.metadata.name}": {why}'


def completed(claim: PersistentVolumeClaim) -> bool:
    return BIND_COMPLETED in claim.metadata.annotations
