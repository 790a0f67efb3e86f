"""Claims of devices and their templates."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .devices.allocations import drop_deallocated, validate_status
from .devices.claims import default_devices, validate_devices
from .immutable import unchanged
from .labels import validate_annotations, validate_labels
from .status import StatusStrategy
from .strategy import Strategy


class ResourceClaimStrategy(StatusStrategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        default_devices(_devices(obj))

    def prepare_status(self, new: Object, old: Object) -> None:
        drop_deallocated(new.setdefault("status", {}), old.get("status") or {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_devices(_devices(obj), path.spec.devices)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        # What cannot change is not looked at again: rules may have become stricter since.
        yield from unchanged(new.get("spec"), old.get("spec"), path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        deleted = bool(new["metadata"].get("deletionTimestamp"))
        now, was = new.get("status") or {}, old.get("status") or {}
        yield from validate_status(now, was, _devices(new), path.status, deleted=deleted)


class ResourceClaimTemplateStrategy(Strategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        default_devices(_devices(obj.get("spec") or {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj.get("spec") or {}, path.spec
        meta = spec.get("metadata") or {}
        yield from validate_annotations(meta.get("annotations") or {}, here.metadata.annotations)
        yield from validate_labels(meta.get("labels") or {}, here.metadata.labels)
        yield from validate_devices(_devices(spec), here.spec.devices)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("spec"), old.get("spec"), path.spec)


def _devices(claim: Object) -> Object:
    devices: Object = (claim.get("spec") or {}).get("devices") or {}
    return devices
