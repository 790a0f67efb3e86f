"""`apiVersion`, `kind` and `metadata` of resources that stand inside a custom resource.

`coerce_metadata` writes an embedded `metadata` as a typed decoder would: unknown and malformed fields are
dropped. `compile_embedded` makes the check of everything that a schema says is an embedded resource. Rules:
apiextensions `schema/objectmeta`, apimachinery `api/validation/objectmeta.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from kplane.api import names
from kplane.api.check import check
from kplane.api.field import FieldError, Path
from kplane.api.schema import META, node
from kplane.api.structural.spec import Spec

Walk: TypeAlias = Callable[[Any, Path], Iterator[FieldError]]

_OBJECT_META = f"{META}ObjectMeta"
MAX_ANNOTATIONS = 256 * 1024


def coerce_metadata(metadata: Any) -> list[str] | None:
    """Drop what is no field of ObjectMeta and what does not have its type; the unknown fields' paths."""
    if type(metadata) is not dict:
        return None
    schema = node(_OBJECT_META)
    faulty = [
        name for name, value in metadata.items() if value is not None and check({name: value}, schema).errors
    ]
    for name in faulty:
        del metadata[name]
    return [f".{path}" for path in check(metadata, schema).unknown] or None


def compile_embedded(spec: Spec) -> Walk | None:
    """The check of the embedded resources somewhere in a value; None if the schema has none."""
    fields = {name: inner for name, child in spec.properties.items() if (inner := compile_embedded(child))}
    items = compile_embedded(spec.items) if spec.items is not None else None
    rest = compile_embedded(spec.additional) if isinstance(spec.additional, Spec) else None
    if not (fields or items or rest or spec.embedded):
        return None

    def walk(value: Any, path: Path) -> Iterator[FieldError]:
        if type(value) is dict:
            if spec.embedded:
                yield from _validate(value, path)
            for key, entry in value.items():
                if key in spec.properties:
                    if key in fields:
                        yield from fields[key](entry, path.child(key))
                elif rest is not None:
                    yield from rest(entry, path[key])
        elif type(value) is list and items is not None:
            for index, entry in enumerate(value):
                yield from items(entry, path[index])

    return walk


def _validate(value: dict[str, Any], path: Path) -> Iterator[FieldError]:
    yield from _validate_text(value, "apiVersion", path.apiVersion, _group_version)
    yield from _validate_text(value, "kind", path.kind, _kind)
    if "metadata" not in value:
        return
    metadata = value["metadata"]
    errors = (
        ["expected object"] if type(metadata) is not dict else check({**metadata}, node(_OBJECT_META)).errors
    )
    if errors:
        yield path.metadata.invalid(metadata, errors[0])
        return
    yield from validate_metadata(metadata, path.metadata)


def _validate_text(
    value: dict[str, Any], name: str, path: Path, fault: Callable[[str], str]
) -> Iterator[FieldError]:
    text = value.get(name, "")
    if name in value and not isinstance(text, str):
        yield path.invalid(text, "must be a string")
    elif not text:
        yield path.required()
    elif message := fault(text):
        yield path.invalid(text, message)


def _group_version(text: str) -> str:
    return f"unexpected GroupVersion string: {text}" if text.count("/") > 1 else ""


def _kind(text: str) -> str:
    faults = names.dns_1035_label(text.lower())
    return f"may have mixed case, but should otherwise match: {','.join(faults)}" if faults else ""


def validate_metadata(metadata: dict[str, Any], path: Path) -> Iterator[FieldError]:
    """Faults of an ObjectMeta whose types are right. A name is not required."""
    for key in ("generateName", "name"):
        if text := metadata.get(key):
            yield from (getattr(path, key).invalid(text, fault) for fault in names.path_segment(text))
    if namespace := metadata.get("namespace"):
        yield from (path.namespace.invalid(namespace, fault) for fault in names.dns_label(namespace))
    if (metadata.get("generation") or 0) < 0:
        yield path.generation.invalid(metadata["generation"], "must be greater than or equal to 0")
    for key, value in (metadata.get("labels") or {}).items():
        yield from (path.labels.invalid(key, fault) for fault in names.qualified_name(key))
        yield from (path.labels.invalid(value, fault) for fault in names.label_value(value or ""))
    yield from _validate_annotations(metadata.get("annotations") or {}, path.annotations)
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        yield from _validate_owner(owner or {}, path.ownerReferences[index])
    for index, finalizer in enumerate(metadata.get("finalizers") or ()):
        yield from (
            path.finalizers[index].invalid(finalizer, fault)
            for fault in names.qualified_name(finalizer or "")
        )


def _validate_annotations(annotations: dict[str, str], path: Path) -> Iterator[FieldError]:
    for key in annotations:
        yield from (path.invalid(key, fault) for fault in names.qualified_name(key.lower()))
    if sum(len(key) + len(value or "") for key, value in annotations.items()) > MAX_ANNOTATIONS:
        yield path.too_long(MAX_ANNOTATIONS)


def _validate_owner(owner: dict[str, Any], path: Path) -> Iterator[FieldError]:
    for name, text in (("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid")):
        if not owner.get(name):
            yield path.child(name).invalid(owner.get(name) or "", f"{text} must not be empty")
