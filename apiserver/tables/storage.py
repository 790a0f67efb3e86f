"""How volumes, claims and the group storage are shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kplane.api.quantity import canonical
from kplane.api.resource import Object

from .durations import age
from .printer import AGE, NAME, Cells, Column, Printer, at, wide

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _persistent_volume(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        obj["metadata"]["name"],
        canonical(at(spec, "capacity", "storage", default=0)),
        _modes(spec.get("accessModes") or ()),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(obj),
        spec.get("volumeAttributesClassName", "<unset>"),
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _persistent_volume_claim(obj: Object, now: datetime) -> Cells:
    spec, status = obj["spec"], obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        obj["metadata"]["name"],
        _phase(obj),
        spec.get("volumeName", ""),
        canonical(at(status, "capacity", "storage", default=0)) if bound else "",
        _modes(status.get("accessModes") or ()) if bound else "",
        _class(obj),
        spec.get("volumeAttributesClassName", "<unset>"),
        age(obj, now),
        spec.get("volumeMode", "<unset>"),
    ]


def _modes(modes: Iterable[str]) -> str:
    wanted = set(modes)
    return ",".join(short for mode, short in _MODES.items() if mode in wanted)


def _phase(obj: Object) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str(at(obj, "status", "phase", default=""))


def _class(obj: Object) -> str:
    annotation = at(obj, "metadata", "annotations", CLASS_ANNOTATION)
    return str(at(obj, "spec", "storageClassName", default="") if annotation is None else annotation)


def _storage_class(obj: Object, now: datetime) -> Cells:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = any(annotations.get(name) == "true" for name in DEFAULT_ANNOTATIONS)
    return [
        obj["metadata"]["name"] + (" (default)" if is_default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _volume_attributes_class(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], obj.get("driverName", ""), age(obj, now)]


def _volume_attachment(obj: Object, now: datetime) -> Cells:
    spec = obj["spec"]
    return [
        obj["metadata"]["name"],
        spec.get("attacher", ""),
        at(spec, "source", "persistentVolumeName", default=""),
        spec.get("nodeName", ""),
        bool(at(obj, "status", "attached")),
        age(obj, now),
    ]


def _csi_node(obj: Object, now: datetime) -> Cells:
    return [obj["metadata"]["name"], len(at(obj, "spec", "drivers", default=())), age(obj, now)]


def _csi_driver(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    return [
        obj["metadata"]["name"],
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        "<unset>" if requests is None else ",".join(request.get("audience", "") for request in requests),
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes") or ()) or "<none>",
        age(obj, now),
    ]


def _csi_storage_capacity(obj: Object, now: datetime) -> Cells:
    capacity = obj.get("capacity")
    text = "<unset>" if capacity is None else canonical(capacity)
    return [obj["metadata"]["name"], obj.get("storageClassName", ""), text]


PERSISTENT_VOLUME = Printer(
    (
        NAME,
        Column("Capacity", field="core.v1.PersistentVolumeSpec.capacity"),
        Column("Access Modes", field="core.v1.PersistentVolumeSpec.accessModes"),
        Column("Reclaim Policy", field="core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy"),
        Column("Status", field="core.v1.PersistentVolumeStatus.phase"),
        Column("Claim", field="core.v1.PersistentVolumeSpec.claimRef"),
        Column("StorageClass", description="StorageClass of the pv"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pv"),
        Column("Reason", field="core.v1.PersistentVolumeStatus.reason"),
        AGE,
        wide("VolumeMode", "core.v1.PersistentVolumeSpec.volumeMode"),
    ),
    _persistent_volume,
)
PERSISTENT_VOLUME_CLAIM = Printer(
    (
        NAME,
        Column("Status", field="core.v1.PersistentVolumeClaimStatus.phase"),
        Column("Volume", field="core.v1.PersistentVolumeClaimSpec.volumeName"),
        Column("Capacity", field="core.v1.PersistentVolumeClaimStatus.capacity"),
        Column("Access Modes", field="core.v1.PersistentVolumeClaimStatus.accessModes"),
        Column("StorageClass", description="StorageClass of the pvc"),
        Column("VolumeAttributesClass", description="VolumeAttributesClass of the pvc"),
        AGE,
        wide("VolumeMode", "core.v1.PersistentVolumeClaimSpec.volumeMode"),
    ),
    _persistent_volume_claim,
)
STORAGE_CLASS = Printer(
    (
        NAME,
        Column("Provisioner", field="storage.v1.StorageClass.provisioner"),
        Column("ReclaimPolicy", field="storage.v1.StorageClass.reclaimPolicy"),
        Column("VolumeBindingMode", field="storage.v1.StorageClass.volumeBindingMode"),
        Column("AllowVolumeExpansion", field="storage.v1.StorageClass.allowVolumeExpansion"),
        AGE,
    ),
    _storage_class,
)
VOLUME_ATTRIBUTES_CLASS = Printer(
    (NAME, Column("DriverName", field="storage.v1.VolumeAttributesClass.driverName"), AGE),
    _volume_attributes_class,
)
VOLUME_ATTACHMENT = Printer(
    (
        NAME,
        Column("Attacher", format="name", field="storage.v1.VolumeAttachmentSpec.attacher"),
        Column("PV", field="storage.v1.VolumeAttachmentSource.persistentVolumeName"),
        Column("Node", field="storage.v1.VolumeAttachmentSpec.nodeName"),
        Column("Attached", "boolean", field="storage.v1.VolumeAttachmentStatus.attached"),
        AGE,
    ),
    _volume_attachment,
)
CSI_NODE = Printer(
    (NAME, Column("Drivers", "integer", description="Number of CSI drivers registered on the node"), AGE),
    _csi_node,
)
CSI_DRIVER = Printer(
    (
        NAME,
        Column("AttachRequired", "boolean", field="storage.v1.CSIDriverSpec.attachRequired"),
        Column("PodInfoOnMount", "boolean", field="storage.v1.CSIDriverSpec.podInfoOnMount"),
        Column("StorageCapacity", "boolean", field="storage.v1.CSIDriverSpec.storageCapacity"),
        Column("TokenRequests", field="storage.v1.CSIDriverSpec.tokenRequests"),
        Column("RequiresRepublish", "boolean", field="storage.v1.CSIDriverSpec.requiresRepublish"),
        Column("Modes", field="storage.v1.CSIDriverSpec.volumeLifecycleModes"),
        AGE,
    ),
    _csi_driver,
)
CSI_STORAGE_CAPACITY = Printer(
    (
        NAME,
        Column("StorageClassName", field="storage.v1.CSIStorageCapacity.storageClassName"),
        Column("Capacity", field="storage.v1.CSIStorageCapacity.capacity"),
    ),
    _csi_storage_capacity,
)
