"""PersistentVolumes: what they are made of, and what of it may change."""

from __future__ import annotations

import copy
from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import IMMUTABLE, unchanged
from .kindwarnings import volume_warnings
from .podspec.defaults import round_quantities
from .podspec.files import no_backsteps
from .podspec.scheduling import validate_node_selector
from .podspec.volumes import validate_csi_driver
from .status import StatusStrategy
from .volumeclaims import ACCESS_MODES

_RECLAIM = ("Delete", "Recycle", "Retain")
_COMMON = frozenset(
    ("accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
     "storageClassName", "volumeAttributesClassName", "volumeMode")
)  # fmt: skip
_SECRETS = (
    "controllerPublishSecretRef", "nodeStageSecretRef", "nodePublishSecretRef", "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)  # fmt: skip
_EXPANSION = "controllerExpandSecretRef"
_VOLUME_MODES = ("Block", "Filesystem")
_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


class PersistentVolumeStrategy(StatusStrategy):
    immutable_spec_generation = True
    empty_status = {"phase": "Pending"}  # noqa: RUF012
    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from volume_warnings(obj)

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
        yield from _validate_details(spec, here)
        if "local" in spec and not (spec.get("nodeAffinity") or {}).get("required"):
            yield here.nodeAffinity.required("Local volume requires node affinity")
        required = (spec.get("nodeAffinity") or {}).get("required")
        if required is not None:
            yield from validate_node_selector(required, here.nodeAffinity.child("required"))
        if class_name := spec.get("storageClassName"):
            for text in names.dns_subdomain(class_name):
                yield here.storageClassName.invalid(class_name, text)
        if spec["volumeMode"] not in _VOLUME_MODES:
            yield here.volumeMode.not_supported(spec["volumeMode"], _VOLUME_MODES)
        if (attributes := spec.get("volumeAttributesClassName")) is not None:
            yield from _validate_attributes(attributes, spec, here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = _source(new["spec"]), _source(old["spec"])
        if "csi" in now and "csi" in was and _EXPANSION not in was["csi"]:
            # The secret for expanding it may be named later.
            now["csi"] = {name: value for name, value in now["csi"].items() if name != _EXPANSION}
        if now != was:
            yield path.spec.persistentvolumesource.forbidden(
                "spec.persistentvolumesource is immutable after creation"
            )
        yield from unchanged(new["spec"]["volumeMode"], old["spec"]["volumeMode"], path.volumeMode)
        now, was = new["spec"].get("nodeAffinity"), old["spec"].get("nodeAffinity")
        if was is not None and now not in (was, _renewed(was)):
            text = f"{IMMUTABLE}, except for updating from beta label to GA"
            yield path.nodeAffinity.invalid(now, text)


def _renewed(affinity: Object) -> Object:
    """With the names that labels of nodes have today."""
    terms = copy.deepcopy((affinity.get("required") or {}).get("nodeSelectorTerms") or [])
    for term in terms:
        for need in term.get("matchExpressions") or ():
            need["key"] = _LABELS.get(need.get("key"), need.get("key"))
    return {"required": {"nodeSelectorTerms": terms}}


def _validate_capacity(capacity: Object, path: Path) -> Iterator[FieldError]:
    if not capacity:
        yield path.required()
        return
    if set(capacity) != {"storage"}:
        yield path.not_supported(capacity, ("storage",))
    for name, amount in capacity.items():
        if quantity.sign(amount) <= 0:
            yield path[name].invalid(amount, "must be greater than zero")


def _validate_attributes(name: str, spec: Object, path: Path) -> Iterator[FieldError]:
    here = path.volumeAttributesClassName
    if not name:
        yield here.required("an empty string is disallowed")
    for text in names.dns_subdomain(name) if name else ():
        yield here.invalid(name, text)
    if spec.get("csi") is None:
        yield path.csi.required("has to be specified when using volumeAttributesClassName")


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


def _validate_details(spec: Object, path: Path) -> Iterator[FieldError]:
    """What a volume's own source needs."""
    csi, local = spec.get("csi"), spec.get("local")
    if csi is not None:
        yield from validate_csi_driver(csi.get("driver", ""), path.csi.driver)
        if not csi.get("volumeHandle"):
            yield path.csi.volumeHandle.required()
        for name in _SECRETS:
            reference = csi.get(name)
            for part in ("name", "namespace") if reference is not None else ():
                if not reference.get(part):
                    yield path.csi.child(name).child(part).required()
    if local is not None and not local.get("path"):
        yield path.local.path.required()
    elif local is not None:
        yield from no_backsteps(local["path"], path.local.path)
    if spec.get("hostPath") is not None and not spec["hostPath"].get("path"):
        yield path.hostPath.path.required()
    for name in ("server", "path") if spec.get("nfs") is not None else ():
        if not spec["nfs"].get(name):
            yield path.nfs.child(name).required()
