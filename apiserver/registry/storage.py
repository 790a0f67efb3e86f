"""Persistent volumes and the classes, drivers and attachments around them."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .podspec.defaults import round_quantities
from .podspec.scheduling import validate_node_selector
from .podspec.volumes import validate_csi_driver
from .status import StatusStrategy
from .strategy import Strategy
from .volumeclaims import ACCESS_MODES

_RECLAIM = ("Delete", "Recycle", "Retain")
_COMMON = frozenset(
    ("accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
     "storageClassName", "volumeAttributesClassName", "volumeMode")
)  # fmt: skip
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


class PersistentVolumeStrategy(StatusStrategy):
    immutable_spec_generation = True
    empty_status = {"phase": "Pending"}  # noqa: RUF012

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        round_quantities(spec.get("capacity") or {})
        spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
        spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
        status = obj.setdefault("status", {})
        status["phase"] = status.get("phase") or "Pending"
        if "hostPath" in spec:
            spec["hostPath"].setdefault("type", "")

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        if not spec.get("accessModes"):
            yield here.accessModes.required()
        for mode in spec.get("accessModes") or ():
            if mode not in ACCESS_MODES:
                yield here.accessModes.not_supported(mode, ACCESS_MODES)
        yield from _validate_capacity(spec.get("capacity") or {}, here.capacity)
        if spec["persistentVolumeReclaimPolicy"] not in _RECLAIM:
            yield here.persistentVolumeReclaimPolicy.not_supported(
                spec["persistentVolumeReclaimPolicy"], _RECLAIM
            )
        yield from _validate_source(spec, here)
        required = (spec.get("nodeAffinity") or {}).get("required")
        if required is not None:
            yield from validate_node_selector(required, here.nodeAffinity.child("required"))
        if class_name := spec.get("storageClassName"):
            for text in names.dns_subdomain(class_name):
                yield here.storageClassName.invalid(class_name, text)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        if _source(new["spec"]) != _source(old["spec"]):
            yield path.spec.persistentvolumesource.forbidden(
                "spec.persistentvolumesource is immutable after creation"
            )
        yield from unchanged(new["spec"]["volumeMode"], old["spec"]["volumeMode"], path.spec.volumeMode)


class StorageClassStrategy(Strategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        obj["reclaimPolicy"] = obj.get("reclaimPolicy") or "Delete"
        obj["volumeBindingMode"] = obj.get("volumeBindingMode") or "Immediate"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        provisioner = obj.get("provisioner", "")
        if not provisioner:
            yield path.provisioner.required()
        for text in names.qualified_name(provisioner.lower()) if provisioner else ():
            yield path.provisioner.invalid(provisioner, text)
        if obj["reclaimPolicy"] not in ("Delete", "Retain"):
            yield path.reclaimPolicy.not_supported(obj["reclaimPolicy"], ("Delete", "Retain"))
        if obj["volumeBindingMode"] not in _BINDING_MODES:
            yield path.volumeBindingMode.not_supported(obj["volumeBindingMode"], _BINDING_MODES)
        for key in obj.get("parameters") or ():
            if not key:
                yield path.parameters.invalid(key, "field can not be empty.")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in ("parameters", "provisioner"):
            if (new.get(name) or {}) != (old.get(name) or {}):
                yield path.child(name).forbidden(f"updates to {name} are forbidden.")
        if new["reclaimPolicy"] != old["reclaimPolicy"]:
            yield path.reclaimPolicy.forbidden("updates to reclaimPolicy are forbidden.")
        yield from unchanged(new["volumeBindingMode"], old["volumeBindingMode"], path.volumeBindingMode)


class CSIDriverStrategy(Strategy):
    unconditional_update = False

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        for name, value in _CSI_DRIVER.items():
            spec.setdefault(name, value)
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_csi_driver(obj["metadata"].get("name", ""), path.metadata.name)
        for mode in obj["spec"]["volumeLifecycleModes"]:
            if mode not in ("Persistent", "Ephemeral"):
                yield path.spec.volumeLifecycleModes.not_supported(mode, ("Ephemeral", "Persistent"))

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in ("attachRequired", "volumeLifecycleModes"):
            yield from unchanged(new["spec"].get(name), old["spec"].get(name), path.spec.child(name))


_CSI_DRIVER: Object = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


class CSINodeStrategy(Strategy):
    immutable_spec_generation = True
    unconditional_update = False

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        taken: set[str] = set()
        for index, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
            here, name = path.spec.drivers[index], driver.get("name", "")
            yield from validate_csi_driver(name, here.name)
            if name in taken:
                yield here.name.duplicate(name)
            taken.add(name)
            if not driver.get("nodeID"):
                yield here.nodeID.required()


class CSIStorageCapacityStrategy(Strategy):
    immutable_spec_generation = True
    unconditional_update = False

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        name = obj.get("storageClassName", "")
        for text in names.dns_subdomain(name):
            yield path.storageClassName.invalid(name, text)
        for field in ("capacity", "maximumVolumeSize"):
            if obj.get(field) is not None and quantity.sign(obj[field]) < 0:
                yield path.child(field).invalid(obj[field], "must be greater than or equal to 0")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in ("nodeTopology", "storageClassName"):
            yield from unchanged(new.get(name), old.get(name), path.child(name))


class VolumeAttachmentStrategy(StatusStrategy):
    immutable_spec_generation = True
    unconditional_update = False
    empty_status = {"attached": False}  # noqa: RUF012

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj.get("spec") or {}
        yield from validate_csi_driver(spec.get("attacher", ""), path.spec.attacher)
        if not spec.get("nodeName"):
            yield path.spec.nodeName.required()
        source = spec.get("source") or {}
        if not source:
            yield path.spec.source.required(
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            )
        if len(source) > 1:
            yield path.spec.source.forbidden(
                "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
            )

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("spec"), old.get("spec"), path.spec)


class VolumeAttributesClassStrategy(Strategy):
    immutable_spec_generation = True

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_csi_driver(obj.get("driverName", ""), path.driverName)
        if not obj.get("parameters"):
            yield path.parameters.required("must contain at least one key/value pair")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in ("driverName", "parameters"):
            yield from unchanged(new.get(name), old.get(name), path.child(name))


def _validate_capacity(capacity: Object, path: Path) -> Iterator[FieldError]:
    if not capacity:
        yield path.required()
        return
    if set(capacity) != {"storage"}:
        yield path.not_supported(capacity, ("storage",))
    for name, amount in capacity.items():
        if quantity.sign(amount) <= 0:
            yield path[name].invalid(amount, "must be greater than zero")


def _validate_source(spec: Object, path: Path) -> Iterator[FieldError]:
    kinds = sorted(_source(spec))
    if not kinds:
        yield path.required("must specify a volume type")
    for kind in kinds[1:]:
        yield path.child(kind).forbidden("may not specify more than 1 volume type")
    place = (spec.get("hostPath") or {}).get("path", "")
    if place == "/" and spec["persistentVolumeReclaimPolicy"] == "Recycle":
        yield path.persistentVolumeReclaimPolicy.forbidden("may not be 'recycle' for a hostPath mount of '/'")


def _source(spec: Object) -> Object:
    return {name: value for name, value in spec.items() if name not in _COMMON}
