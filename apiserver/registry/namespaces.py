"""Namespaces: they end in two steps, first Terminating, then gone once spec.finalizers is empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .status import StatusStrategy
from .strategy import STATUS, Subresource

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


class NamespaceStrategy(StatusStrategy):
    name_rule = staticmethod(names.dns_label)
    immutable_spec_generation = True
    subresources = (STATUS, Subresource("finalize", ("spec",)))
    selectable = ("status.phase",)

    def default(self, obj: Object) -> None:
        if name := obj["metadata"].get("name"):
            obj["metadata"].setdefault("labels", {})[NAME_LABEL] = name

    def prepare_create(self, obj: Object) -> None:
        # A generated name is known only now.
        self.default(obj)
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        kept = [name for name in finalizers if name != FINALIZER]
        obj["spec"] = {"finalizers": [*kept, FINALIZER]}
        obj["status"] = {"phase": "Active"}

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        for name in (obj.get("spec") or {}).get("finalizers") or ():
            yield from _validate_finalizer(name, path.spec.finalizers)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        phase = (new.get("status") or {}).get("phase", "")
        deleting = new["metadata"].get("deletionTimestamp")
        if deleting and phase != "Terminating":
            yield path.status.Phase.invalid(
                phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"
            )
        if not deleting and phase != "Active":
            yield path.status.Phase.invalid(phase, "may only be 'Active' if `deletionTimestamp` is empty")

    def mark_deleting(self, obj: Object) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"

    def blockers(self, obj: Object) -> Sequence[str]:
        return (obj.get("spec") or {}).get("finalizers") or ()

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.phase": (obj.get("status") or {}).get("phase", "")}


def _validate_finalizer(name: str, path: Path) -> Iterator[FieldError]:
    faults = names.qualified_name(name)
    for text in faults:
        yield path.invalid(name, text)
    if not faults and "/" not in name and name != FINALIZER:
        yield path.invalid(name, "name is neither a standard finalizer name nor is it fully qualified")
