"""Views of what holds storage: claims, volumes, their classes, and what is attached where."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.core import NodeSelector, ResourceRequirements
from kplane.api.types.discovery import ObjectReference
from kplane.api.types.meta import Condition, LabelSelector, Part, View

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
"""The annotation that named the class before there was a field; it still goes first."""

Quantities = dict[str, str | int | float]


class ClaimSpec(Part, frozen=True):
    access_modes: tuple[str, ...] = ()
    selector: LabelSelector | None = None
    resources: ResourceRequirements = ResourceRequirements()
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_mode: str = "Filesystem"
    volume_attributes_class_name: str | None = None


class ModifyVolumeStatus(Part, frozen=True):
    target_volume_attributes_class_name: str = ""


class ClaimStatus(Part, frozen=True):
    phase: str = ""
    access_modes: tuple[str, ...] = ()
    capacity: Quantities = {}
    conditions: tuple[Condition, ...] = ()
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def storage_class(self) -> str:
        """The name of the class; empty for none."""
        return self.metadata.annotations.get(BETA_CLASS) or self.spec.storage_class_name or ""

    @property
    def has_class(self) -> bool:
        """Whether a class was chosen, be it that of no name."""
        return BETA_CLASS in self.metadata.annotations or self.spec.storage_class_name is not None


class CSISource(Part, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class PathSource(Part, frozen=True):
    path: str = ""


class NFSSource(PathSource, frozen=True):
    server: str = ""


class VolumeNodeAffinity(Part, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(Part, frozen=True):
    capacity: Quantities = {}
    access_modes: tuple[str, ...] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = "Retain"
    storage_class_name: str = ""
    volume_mode: str = "Filesystem"
    volume_attributes_class_name: str | None = None
    node_affinity: VolumeNodeAffinity | None = None
    csi: CSISource | None = None
    host_path: PathSource | None = None
    local: PathSource | None = None
    nfs: NFSSource | None = None


class VolumeStatus(Part, frozen=True):
    phase: str = ""
    message: str = ""
    reason: str = ""


class PersistentVolume(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()

    @property
    def storage_class(self) -> str:
        """The name of the class; empty for none."""
        return self.metadata.annotations.get(BETA_CLASS) or self.spec.storage_class_name


class StorageClass(View, frozen=True):
    API: ClassVar[Resource[Any]]

    provisioner: str = ""
    volume_binding_mode: str = "Immediate"
    allow_volume_expansion: bool = False


class AttachmentSource(Part, frozen=True):
    persistent_volume_name: str | None = None


class AttachmentSpec(Part, frozen=True):
    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource = AttachmentSource()


class AttachmentError(Part, frozen=True):
    time: datetime | None = None
    message: str = ""


class AttachmentStatus(Part, frozen=True):
    attached: bool = False
    attach_error: AttachmentError | None = None
    detach_error: AttachmentError | None = None


class VolumeAttachment(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: AttachmentSpec = AttachmentSpec()
    status: AttachmentStatus = AttachmentStatus()


class CSIDriverSpec(Part, frozen=True):
    attach_required: bool = True


class CSIDriver(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: CSIDriverSpec = CSIDriverSpec()


GROUP = "storage.k8s.io"

PersistentVolumeClaim.API = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, PersistentVolumeClaim
)
PersistentVolume.API = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, PersistentVolume)
StorageClass.API = Resource(GROUP, "v1", "storageclasses", "StorageClass", False, StorageClass)
VolumeAttachment.API = Resource(GROUP, "v1", "volumeattachments", "VolumeAttachment", False, VolumeAttachment)
CSIDriver.API = Resource(GROUP, "v1", "csidrivers", "CSIDriver", False, CSIDriver)
