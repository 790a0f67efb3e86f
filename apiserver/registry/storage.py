"""Classes, drivers and attachments of volumes. The volumes themselves: persistentvolumes.py."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import IMMUTABLE, non_negative, unchanged
from .kindwarnings import capacity_warnings, class_warnings
from .labels import validate_key
from .podspec.volumes import validate_csi_driver
from .status import StatusStrategy
from .strategy import Strategy

_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MAX_NODE_ID = 192
_TOKEN_SECONDS = (600, 1 << 32)
_MAX_PARAMETERS, _MAX_METADATA, _MAX_MESSAGE = 512, 256 * 1024, 1024
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")


class StorageClassStrategy(Strategy):
    immutable_spec_generation = True
    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from class_warnings(obj)

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
        for index, term in enumerate(obj.get("allowedTopologies") or ()):
            yield from _validate_topology(term, path.allowedTopologies)
            if term in obj["allowedTopologies"][:index]:
                yield path.allowedTopologies[index].matchLabelExpressions.duplicate("")
        yield from _validate_parameters(obj.get("parameters") or {}, path.parameters)

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
        policy, period = obj["spec"]["fsGroupPolicy"], obj["spec"].get("nodeAllocatableUpdatePeriodSeconds")
        if policy not in _GROUP_POLICIES:
            yield path.spec.fsGroupPolicy.not_supported(policy, _GROUP_POLICIES)
        if period is not None and period < 10:
            text = "must be greater than or equal to 10 seconds"
            yield path.spec.nodeAllocatableUpdatePeriodSeconds.invalid(period, text)
        yield from _validate_tokens(obj["spec"].get("tokenRequests") or [], path.spec.tokenRequests)

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
            node = driver.get("nodeID", "")
            if not node:
                yield here.nodeID.required()
            elif len(node) > _MAX_NODE_ID:
                yield here.nodeID.invalid(node, f"must be {_MAX_NODE_ID} characters or less")
            yield from non_negative(driver.get("allocatable") or {}, here.allocatable, "count")
            yield from _validate_topology_keys(driver.get("topologyKeys") or [], here.topologyKeys)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        known = {entry.get("name"): entry for entry in (old.get("spec") or {}).get("drivers") or ()}
        for driver in (new.get("spec") or {}).get("drivers") or ():
            was = known.get(driver.get("name"), driver)
            # What a node can take changes while it runs.
            if {**driver, "allocatable": None} != {**was, "allocatable": None}:
                yield Path("CSINodeDriver").invalid(driver, IMMUTABLE)


class CSIStorageCapacityStrategy(Strategy):
    immutable_spec_generation = True
    warns_always = True
    unconditional_update = False

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from capacity_warnings(obj)

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
        yield from _validate_attached(spec.get("source") or {}, path.spec.source)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("spec"), old.get("spec"), path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status = new.get("status") or {}
        metadata, here = status.get("attachmentMetadata") or {}, path.status.attachmentMetadata
        for key in metadata:
            if not key:
                yield here.invalid(key, "field can not be empty.")
        if sum(len(key) + len(value) for key, value in metadata.items()) > _MAX_METADATA:
            yield here.too_long(_MAX_METADATA)
        for name in ("attachError", "detachError"):
            error, here = status.get(name) or {}, path.status.child(name)
            if len(error.get("message", "")) > _MAX_MESSAGE:
                yield here.message.too_long(_MAX_MESSAGE)
            yield from non_negative(error, here, "errorCode")


class VolumeAttributesClassStrategy(Strategy):
    immutable_spec_generation = True

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_csi_driver(obj.get("driverName", ""), path.driverName)
        if not obj.get("parameters"):
            yield path.parameters.required("must contain at least one key/value pair")
        yield from _validate_parameters(obj.get("parameters") or {}, path.parameters)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        for name in ("driverName", "parameters"):
            yield from unchanged(new.get(name), old.get(name), path.child(name))


def _validate_attached(source: Object, path: Path) -> Iterator[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        yield path.required(one)
    elif inline is not None and name is not None:
        yield path.forbidden(one)
    elif name == "":
        yield path.persistentVolumeName.required("must specify non-empty persistentVolumeName")
    for text in names.dns_subdomain(name) if name and inline is None else ():
        yield path.persistentVolumeName.invalid(name, text)


def _validate_parameters(parameters: Object, path: Path) -> Iterator[FieldError]:
    if len(parameters) > _MAX_PARAMETERS:
        yield path.too_long(_MAX_PARAMETERS)
        return
    for key in parameters:
        if not key:
            yield path.invalid(key, "field can not be empty.")
    if sum(len(key) + len(value) for key, value in parameters.items()) > _MAX_METADATA:
        yield path.too_long(_MAX_METADATA)


def _validate_tokens(requests: list[Object], path: Path) -> Iterator[FieldError]:
    shortest, longest = _TOKEN_SECONDS
    taken: set[str] = set()
    for index, request in enumerate(requests):
        here, seconds = path[index], request.get("expirationSeconds")
        if seconds is not None and seconds < shortest:
            text = "may not specify a duration less than 10 minutes"
            yield here.expirationSeconds.invalid(seconds, text)
        if seconds is not None and seconds > longest:
            text = "may not specify a duration larger than 2^32 seconds"
            yield here.expirationSeconds.invalid(seconds, text)
        audience = request.get("audience", "")
        if audience in taken:
            yield here.audience.duplicate(audience)
        taken.add(audience)


def _validate_topology_keys(keys: list[str], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for key in keys:
        if key in taken:
            yield path.duplicate(key)
        taken.add(key)
        yield from validate_key(key, path)


def _validate_topology(term: Object, path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, need in enumerate(term.get("matchLabelExpressions") or ()):
        here, key, values = path.matchLabelExpressions[index], need.get("key", ""), need.get("values") or []
        if not values:
            yield here.child("values").required()
        for position, value in enumerate(values):
            if value in values[:position]:
                yield here.child("values")[position].duplicate(value)
        yield from validate_key(key, here.key)
        if key in taken:
            yield here.key.duplicate(key)
        taken.add(key)
