"""Rules of `metadata` that hold for every resource: what the server sets, what is valid, what never changes.

Pure. Rules and wording: apimachinery `api/validation/objectmeta.go`, apiserver `registry/rest`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api import names
from kplane.api.errors import BadRequest
from kplane.api.field import FieldError, Path
from kplane.api.names import NameRule
from kplane.api.resource import Object

from .labels import validate_labels

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_STANDARD_FINALIZERS = frozenset({ORPHAN, FOREGROUND, "kubernetes"})
MAX_ANNOTATIONS = 256 * 1024
MAX_GENERATED_NAME = 63
SUFFIX_LENGTH = 5

_IMMUTABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName")
_SERVER_ONLY = ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")


def bind_namespace(obj: Object, namespace: str) -> None:
    """Give the object the request's namespace. Raises BadRequest if it names another one."""
    metadata = obj["metadata"]
    if namespace and metadata.get("namespace", "") not in ("", namespace):
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)


def initialise(obj: Object, uid: str, now: str) -> None:
    """The system fields of a new object."""
    metadata = obj["metadata"]
    for name in _SERVER_ONLY:
        metadata.pop(name, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = now


def generated_name(base: str, suffix: str) -> str:
    return base[: MAX_GENERATED_NAME - SUFFIX_LENGTH] + suffix


def carry_over(new: Object, old: Object) -> None:
    """Restore in an update what the client left out and may leave out."""
    was, now = old["metadata"], new["metadata"]
    for name in _KEPT:
        if not now.get(name) and was.get(name) is not None:
            now[name] = was[name]
    for name in ("selfLink", "managedFields", "generation"):
        now.pop(name, None)
        if name in was:
            now[name] = was[name]


def validate(metadata: Object, namespaced: bool, name_rule: NameRule, path: Path) -> Iterator[FieldError]:
    """Faults of any object's metadata."""
    if generate := metadata.get("generateName"):
        # A generated name ends in letters: a prefix may end in a dash.
        for text in name_rule(generate.rstrip("-") or generate):
            yield path.generateName.invalid(generate, text)
    if name := metadata.get("name"):
        for text in name_rule(name):
            yield path.name.invalid(name, text)
    else:
        yield path.name.required("name or generateName is required")
    yield from _validate_namespace(metadata.get("namespace", ""), namespaced, path.namespace)
    if labels := metadata.get("labels"):
        yield from validate_labels(labels, path.labels)
    if annotations := metadata.get("annotations"):
        yield from _validate_annotations(annotations, path.annotations)
    if owners := metadata.get("ownerReferences"):
        yield from _validate_owners(owners, path.ownerReferences)
    if finalizers := metadata.get("finalizers"):
        yield from _validate_finalizers(finalizers, path.finalizers)


def _validate_namespace(namespace: str, namespaced: bool, path: Path) -> Iterator[FieldError]:
    if not namespaced:
        if namespace:
            yield path.forbidden("not allowed on this type")
        return
    if not namespace:
        yield path.required()
        return
    for text in names.dns_label(namespace):
        yield path.invalid(namespace, text)


def _validate_annotations(annotations: Object, path: Path) -> Iterator[FieldError]:
    size = 0
    for key, value in annotations.items():
        size += len(key) + len(value)
        for text in names.qualified_name(key.lower()):
            yield path.invalid(key, text)
    if size > MAX_ANNOTATIONS:
        yield path.too_long(MAX_ANNOTATIONS)


def _validate_owners(owners: Sequence[Object], path: Path) -> Iterator[FieldError]:
    controller: Object | None = None
    for index, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                text = "version" if name == "apiVersion" else name
                yield path[index].child(name).invalid("", f"{text} must not be empty")
        if not owner.get("controller"):
            continue
        if controller is not None:
            yield path.invalid(
                list(owners),
                'Only one reference can have Controller set to true. Found "true" in references for '
                f"{controller.get('name')} and {owner.get('name')}",
            )
        controller = owner


def _validate_finalizers(finalizers: Sequence[str], path: Path) -> Iterator[FieldError]:
    for name in finalizers:
        faults = names.qualified_name(name)
        for text in faults:
            yield path.invalid(name, text)
        if not faults and "/" not in name and name not in _STANDARD_FINALIZERS:
            yield path.invalid(name, "name is neither a standard finalizer name nor is it fully qualified")
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        yield path.invalid(list(finalizers), f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set")


def validate_update(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """Faults of a change of metadata, beyond those of `validate`."""
    if old.get("deletionTimestamp"):
        added = [name for name in new.get("finalizers") or [] if name not in (old.get("finalizers") or [])]
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            yield path.finalizers.forbidden(
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{listed}}}"
            )
    for name in _IMMUTABLE:
        if new.get(name) != old.get(name):
            yield path.child(name).invalid(new.get(name), "field is immutable")
