"""PersistentVolumeClaims: what storage a pod asks for."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names, quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .kindwarnings import claim_warnings
from .labels import validate_selector
from .podspec.defaults import round_quantities
from .status import StatusStrategy

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
        # The binder may name the volume, once; expansion may raise the request.
        if not was.get("volumeName"):
            now.pop("volumeName", None)
            was.pop("volumeName", None)
        if bound:
            for name in ("resources", "volumeAttributesClassName"):
                now.pop(name, None)
                was.pop(name, None)
            yield from _validate_expansion(new["spec"], old["spec"], path.spec.resources.requests.storage)
        if "storageClassName" not in was:
            now.pop("storageClassName", None)
        if now != was:
            yield path.spec.forbidden(_IMMUTABLE)


def _validate_expansion(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    now, was = _storage(new), _storage(old)
    if now and was and quantity.compare(now, was) < 0:
        yield path.forbidden("field can not be less than status.capacity")


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
