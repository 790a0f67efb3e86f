"""StorageVersionMigrations: rewriting the objects of a resource in the version that is stored today.

Source: upstream's `pkg/apis/storagemigration/validation`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .conditions import validate_conditions
from .immutable import unchanged
from .jobstatuses import is_true
from .status import StatusStrategy

_OVER = (("Succeeded", "success"), ("Failed", "failed"))


class StorageVersionMigrationStrategy(StatusStrategy):
    immutable_spec_generation = True
    unconditional_update = False

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        resource, here = (obj.get("spec") or {}).get("resource") or {}, path.spec.resource
        if not resource.get("resource"):
            yield here.resource.required("resource is required")
        for part, rule in (("resource", names.dns_1035_label), ("group", names.dns_subdomain)):
            value = resource.get(part)
            for text in rule(value) if value else ():
                yield here.child(part).invalid(value, text)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("spec"), old.get("spec"), path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was, here = new.get("status") or {}, old.get("status") or {}, path.status
        conditions, place = now.get("conditions") or [], here.conditions
        yield from validate_conditions(conditions, place)
        version, known = now.get("resourceVersion", ""), was.get("resourceVersion", "")
        if version and not version.isdecimal():
            yield here.resourceVersion.invalid(version, "resourceVersion is not a valid unsigned integer")
        if known and version != known:
            yield here.resourceVersion.invalid(version, "resourceVersion cannot be updated")
        over = [(kind, word) for kind, word in _OVER if is_true(now, kind)]
        if len(over) > 1:
            text = "Both success and failed conditions cannot be true at the same time"
            yield place.invalid(conditions, text)
        for _, word in over if is_true(now, "Running") else ():
            text = f"Running condition cannot be true when {word} condition is true"
            yield place.invalid(conditions, text)
        for kind, word in _OVER:
            if is_true(was, kind) and not is_true(now, kind):
                text = f"{word.capitalize()} condition cannot be set to false once it is true"
                yield place.invalid(conditions, text)
