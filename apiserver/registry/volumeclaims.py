"""PersistentVolumeClaims: what storage a pod asks for."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .kindwarnings import claim_warnings
from .labels import validate_key, validate_selector
from .podspec.defaults import round_quantities
from .podspec.resources import is_native
from .status import StatusStrategy

_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_RESIZES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
    "NodeResizeInfeasible", "NodeResizePending",
)  # fmt: skip
ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
    " claims"
)


def default_claim(claim: Object) -> None:
    """A claim, or the template of one."""
    spec = claim.setdefault("spec", {})
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    for amounts in (spec.get("resources") or {}).values():
        if isinstance(amounts, dict):
            round_quantities(amounts)
    status = claim.setdefault("status", {})
    status["phase"] = status.get("phase") or "Pending"


class PersistentVolumeClaimStrategy(StatusStrategy):
    immutable_spec_generation = True
    empty_status = {"phase": "Pending"}  # noqa: RUF012

    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from claim_warnings(obj)

    def default(self, obj: Object) -> None:
        default_claim(obj)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        spec = obj["spec"]
        if not spec.get("dataSourceRef") and not _is_old_source(spec.get("dataSource") or {}):
            # Others are only asked for by the newer field.
            spec.pop("dataSource", None)
        # Two fields, one meaning: `dataSource` is kept in step for old clients.
        if spec.get("dataSource") and not spec.get("dataSourceRef"):
            spec["dataSourceRef"] = dict(spec["dataSource"])
        elif spec.get("dataSourceRef") and not spec["dataSourceRef"].get("namespace"):
            reference = spec["dataSourceRef"].items()
            spec.setdefault("dataSource", {name: value for name, value in reference if name != "namespace"})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_claim_spec(obj["spec"], path.spec)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = dict(new["spec"]), dict(old["spec"])
        bound = (old.get("status") or {}).get("phase") == "Bound"
        if _is_class_given(new, old):
            now.pop("storageClassName", None)
        else:
            meta = [obj["metadata"].get("annotations") or {} for obj in (new, old)]
            named = [annotations.get(_BETA_CLASS, "") for annotations in meta]
            yield from unchanged(named[0], named[1], path.metadata.annotations.child(_BETA_CLASS))
        # The binder may name the volume, once; expansion may raise the request.
        if not was.get("volumeName"):
            now.pop("volumeName", None)
            was.pop("volumeName", None)
        if bound:
            # More may be asked for later, and other attributes.
            now["resources"] = _with_storage(now.get("resources") or {}, _storage(was))
            now.pop("volumeAttributesClassName", None)
            was.pop("volumeAttributesClassName", None)
        if now != was:
            yield path.spec.forbidden(_IMMUTABLE)
        yield from _validate_shrinking(new["spec"], old, path.spec.resources.requests.storage)
        yield from unchanged(now.get("volumeMode"), was.get("volumeMode"), path.volumeMode)
        if old["spec"].get("volumeAttributesClassName") and not new["spec"].get("volumeAttributesClassName"):
            text = "update from non-nil value to nil is forbidden"
            yield path.spec.volumeAttributesClassName.forbidden(text)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status, here = new.get("status") or {}, path.status
        for name, amount in (status.get("capacity") or {}).items():
            yield from _validate_basic(amount, here.capacity[name])
        for name, state in (status.get("allocatedResourceStatuses") or {}).items():
            yield from _validate_key(name, here.allocatedResourceStatus)
            if state not in _RESIZES:
                yield here.allocatedResourceStatus.not_supported(name, _RESIZES)
        for name, amount in (status.get("allocatedResources") or {}).items():
            yield from _validate_key(name, here.allocatedResources)
            yield from _validate_basic(amount, here.allocatedResources[name])


def _is_class_given(new: Object, old: Object) -> bool:
    """Whether a claim without a class gets one: where nothing, or an annotation, named it before."""
    now, was = new["spec"].get("storageClassName"), old["spec"].get("storageClassName")
    meta = [obj["metadata"].get("annotations") or {} for obj in (new, old)]
    named = [annotations.get(_BETA_CLASS) for annotations in meta]
    return was is None and now is not None and named[1] in (None, now) and named[0] in (None, named[1])


def _with_storage(resources: Object, amount: str) -> Object:
    requests = dict(resources.get("requests") or {})
    if requests and amount:
        requests["storage"] = amount
    return {**resources, "requests": requests} if "requests" in resources else dict(resources)


def _is_old_source(source: Object) -> bool:
    known = (("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io"))
    return (source.get("kind"), source.get("apiGroup") or "") in known


def _validate_shrinking(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """A claim may ask for less than it did, to give up an expansion, but not for what it has already."""
    now, was = _storage(new), _storage(old["spec"])
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if now and was and quantity.compare(now, was) < 0 and quantity.compare(now, held) <= 0:
        yield path.forbidden("field can not be less than status.capacity")


def _validate_basic(amount: str, path: Path) -> Iterator[FieldError]:
    if quantity.sign(amount) < 0:
        yield path.invalid(quantity.units(amount), "must be a valid resource quantity")


def _validate_key(name: str, path: Path) -> Iterator[FieldError]:
    faults = list(validate_key(name, path))
    yield from faults
    if not faults and name != "storage" and is_native(name):
        yield path.not_supported(name, ("storage",))


def _storage(spec: Object) -> str:
    amount: str = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "")
    return amount


def validate_claim_spec(spec: Object, path: Path) -> Iterator[FieldError]:
    modes = spec.get("accessModes") or []
    if not modes:
        yield path.accessModes.required("at least 1 access mode is required")
    if selector := spec.get("selector"):
        yield from validate_selector(selector, path.selector)
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield path.accessModes.not_supported(mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        yield path.accessModes.forbidden("may not use ReadWriteOncePod with other access modes")
    amount = _storage(spec)
    if not amount:
        yield path.resources["storage"].required()
    elif quantity.sign(amount) <= 0:
        yield path.resources["storage"].invalid(amount, "must be greater than zero")
    if class_name := spec.get("storageClassName"):
        for text in names.dns_subdomain(class_name):
            yield path.storageClassName.invalid(class_name, text)
    if spec.get("volumeMode") not in ("Block", "Filesystem"):
        yield path.volumeMode.not_supported(spec.get("volumeMode", ""), ("Block", "Filesystem"))
    yield from _validate_sources(spec, path)
    if name := spec.get("volumeAttributesClassName"):
        for text in names.dns_subdomain(name):
            yield path.volumeAttributesClassName.invalid(name, text)


def _validate_sources(spec: Object, path: Path) -> Iterator[FieldError]:
    """What a new volume is filled from."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, given in (("dataSource", source), ("dataSourceRef", reference)):
        if given is None:
            continue
        here = path.child(name)
        for part in ("name", "kind"):
            if not given.get(part):
                yield here.child(part).required()
        if not given.get("apiGroup") and given.get("kind") != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            yield here.invalid(given.get("kind", ""), text)
        for text in names.dns_subdomain(given["apiGroup"]) if given.get("apiGroup") else ():
            yield here.apiGroup.invalid(given["apiGroup"], text)
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        yield path.invalid(str(path.dataSource), text)
    elif {**source, "namespace": None} != {**reference, "namespace": None}:
        yield path.invalid(str(path.dataSource), "must match dataSourceRef")
