"""Custom resources: the rules of one version, from its definition.

What the schema says is judged by `kplane.api.structural`; here is what every custom resource has in common.
Rules: apiextensions `pkg/registry/customresource`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion

from .strategy import STATUS, Strategy

MAX_INT32 = 2**31 - 1


class CustomResourceStrategy(Strategy):
    allow_create_on_update = False

    def __init__(self, custom: CustomVersion) -> None:
        self._custom = custom
        self.subresources = (STATUS,) if custom.status else ()
        self.selectable = custom.selectable

    def default(self, obj: Object) -> None:
        self._custom.schema.default(obj)

    def prepare_create(self, obj: Object) -> None:
        if self._custom.status:
            obj.pop("status", None)

    def prepare_status(self, new: Object, old: Object) -> None:
        """Metadata belong to the object's own endpoint."""
        kept = {name: new["metadata"].get(name) for name in ("managedFields", "resourceVersion")}
        new["metadata"] = old["metadata"] | {name: value for name, value in kept.items() if value}

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from self._custom.schema.validate(obj)
        yield from self._validate_scale(obj)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._custom.schema.validate(new, old)
        yield from self._validate_scale(new)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._custom.schema.validate(new, old)
        yield from self._validate_scale(new)

    def _validate_scale(self, obj: Object) -> Iterator[FieldError]:
        if self._custom.scale is None:
            return
        for steps in (self._custom.scale.spec_replicas, self._custom.scale.status_replicas):
            replicas = at(obj, steps)
            path = Path(".".join(steps))
            if not isinstance(replicas, int) or isinstance(replicas, bool):
                continue
            if replicas < 0:
                yield path.invalid(replicas, "should be a non-negative integer")
            elif replicas > MAX_INT32:
                yield path.invalid(replicas, f"should be less than or equal to {MAX_INT32}")

    def fields(self, obj: Object) -> Mapping[str, str]:
        found = {name: at(obj, tuple(name.split("."))) for name in self._custom.all_selectable}
        return {name: _text(value) for name, value in found.items() if value is not None}


def at(obj: Any, steps: tuple[str, ...]) -> Any:
    """The value at a path of fields; None where there is none."""
    for step in steps:
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
