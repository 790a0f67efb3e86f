"""CustomResourceDefinitions: defaults, validation, and the status that every write keeps.

Elsewhere: what the spec may say (`extensions/validation.py`); accepting names, serving and removing
(`extensions/`). Rules: apiextensions `pkg/registry/customresourcedefinition`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..extensions import validation
from ..extensions.conditions import ESTABLISHED, FINALIZER, TERMINATING, Condition, is_true, set_condition
from ..extensions.webhookclients import has_valid_bundle
from .immutable import unchanged
from .status import StatusStrategy

_PENDING = Condition(
    TERMINATING,
    "True",
    "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)
_BAD_BUNDLE = "unable to load root certificates: unable to parse bytes as PEM block"


class CustomResourceDefinitionStrategy(StatusStrategy):
    unconditional_update = False

    empty_status: ClassVar[Object] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        if kind := names.get("kind"):
            if not names.get("singular"):
                names["singular"] = kind.lower()
            if not names.get("listKind"):
                names["listKind"] = f"{kind}List"
        spec.setdefault("conversion", {"strategy": "None"})
        client = (spec["conversion"].get("webhook") or {}).get("clientConfig") or {}
        if client.get("service") is not None:
            client["service"].setdefault("port", 443)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        _note_storage(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        _note_storage(new)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(obj, None, path)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate(new, old, path)

    def _validate(self, obj: Object, old: Object | None, path: Path) -> Iterator[FieldError]:
        spec = obj["spec"]
        names = spec.get("names") or {}
        if obj["metadata"].get("name") != f"{names.get('plural', '')}.{spec.get('group', '')}":
            yield path.metadata.name.invalid(
                obj["metadata"].get("name", ""), 'must be spec.names.plural+"."+spec.group'
            )
        yield from validation.validate_spec(spec, path.spec)
        yield from self._validate_state(obj, path.status)
        stored = (obj.get("status") or {}).get("storedVersions") or ()
        yield from validation.validate_stored(stored, spec.get("versions") or (), path.status.storedVersions)
        yield from validation.validate_approval(obj, old)
        yield from validation.validate_preserve(spec, old["spec"] if old else None)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        spec, was = new["spec"], old["spec"]
        names, old_names = spec.get("names") or {}, was.get("names") or {}
        if is_true(old, ESTABLISHED):
            yield from unchanged(spec.get("scope"), was.get("scope"), path.spec.scope)
            yield from unchanged(names.get("kind"), old_names.get("kind"), path.spec.names.kind)
            if has_valid_bundle(_client(was)) and not has_valid_bundle(_client(spec)):
                where = path.spec.conversion.webhookClientConfig.caBundle
                yield where.invalid(_client(spec)["caBundle"], _BAD_BUNDLE)
        yield from unchanged(spec.get("group"), was.get("group"), path.spec.group)
        yield from unchanged(names.get("plural"), old_names.get("plural"), path.spec.names.plural)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from self._validate_state(new, path.status)

    def _validate_state(self, obj: Object, path: Path) -> Iterator[FieldError]:
        accepted = (obj.get("status") or {}).get("acceptedNames") or {}
        yield from validation.validate_names(accepted, path.acceptedNames)

    def blockers(self, obj: Object) -> Sequence[str]:
        """The first DELETE only marks: the instances go first."""
        return () if obj["metadata"].get("deletionTimestamp") else (FINALIZER,)

    def mark_deleting(self, obj: Object) -> None:
        metadata = obj["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers:
            metadata["finalizers"] = [*finalizers, FINALIZER]
        set_condition(obj.setdefault("status", {}), _PENDING, metadata.get("deletionTimestamp", ""))


def _client(spec: Object) -> Object:
    config: Object = ((spec.get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    return config


def _note_storage(obj: Object) -> None:
    """The storage version is one in which objects are stored from now on."""
    status = obj.setdefault("status", {})
    stored = status.get("storedVersions") or []
    for version in obj["spec"].get("versions") or ():
        if version.get("storage"):
            if version.get("name") not in stored:
                status["storedVersions"] = [*stored, version.get("name", "")]
            return
