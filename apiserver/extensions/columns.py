"""The paths in a definition: printer columns, the scale subresource, selectable fields. Pure.

Rules and wording: apiextensions `apis/apiextensions/validation/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import structural
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.structural.field_paths import FieldPathError, parse_field_path
from kplane.api.structural.spec import Spec, parse

MAX_SELECTABLE = 8
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = (
    *("binary", "bit", "byte", "date", "datetime", "double", "float", "int32", "int64", "password"),
)
_SELECTABLE_TYPES = ("string", "boolean", "integer")


def validate_column(column: Object, path: Path) -> Iterator[FieldError]:
    if not column.get("name"):
        yield path.name.required()
    kinds, kind = ",".join(_COLUMN_TYPES), column.get("type", "")
    if not kind:
        yield path.child("type").required(f"must be one of {kinds}")
    elif kind not in _COLUMN_TYPES:
        yield path.child("type").invalid(kind, f"must be one of {kinds}")
    form = column.get("format", "")
    if form and form not in _COLUMN_FORMATS:
        yield path.format.invalid(form, f"must be one of {','.join(_COLUMN_FORMATS)}")
    text = column.get("jsonPath", "")
    if not text:
        yield path.JSONPath.required()
    else:
        yield from _validate_simple(text, path.JSONPath)


def _validate_simple(text: str, path: Path) -> Iterator[FieldError]:
    if not text.startswith("."):
        yield path.invalid(text, "must be a simple json path starting with .")


def validate_scale(scale: Object | None, path: Path) -> Iterator[FieldError]:
    if scale is None:
        return
    for key, parent in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        text, here = scale.get(key, ""), path.child(key)
        if not text:
            yield here.required()
            continue
        faults = list(_validate_simple(text, here))
        yield from faults
        if not faults and not text.startswith(parent):
            yield here.invalid(text, f"should be a json path under {parent.rstrip('.')}")
    if text := scale.get("labelSelectorPath", ""):
        faults = list(_validate_simple(text, path.labelSelectorPath))
        yield from faults
        if not faults and not text.startswith((".spec.", ".status.")):
            yield path.labelSelectorPath.invalid(text, "should be a json path under either .spec or .status")


def validate_selectable(version: Object, path: Path) -> Iterator[FieldError]:
    fields = version.get("selectableFields") or ()
    if not fields:
        return
    source = (version.get("schema") or {}).get("openAPIV3Schema")
    if not source:
        yield path.invalid(
            "", "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        )
        return
    try:
        spec = parse(source)
    except structural.SchemaError:
        # The schema's own faults are told.
        return
    seen: set[str] = set()
    for index, entry in enumerate(fields):
        yield from _validate_field(entry.get("jsonPath", ""), spec, seen, path[index])
    if len(seen) > MAX_SELECTABLE:
        yield path.too_many(len(seen), MAX_SELECTABLE)


def _validate_field(text: str, spec: Spec, seen: set[str], path: Path) -> Iterator[FieldError]:
    if not text:
        yield path.jsonPath.required()
        return
    try:
        found = str(parse_field_path(text, spec))
    except FieldPathError as error:
        yield path.jsonPath.invalid(text, f"is an invalid path: {error}")
        return
    if found.partition(".")[0] == "metadata":
        yield path.invalid(text, "must not point to fields in metadata")
    target: Spec | None = spec
    for step in found.split("."):
        target = target.child(step) if target else None
    if target is None or target.type not in _SELECTABLE_TYPES or target.int_or_string:
        yield path.invalid(
            text,
            "must point to a field of type string, boolean or integer. Enum string fields and strings with "
            "formats are allowed.",
        )
    if found in seen:
        yield path.duplicate(text)
    seen.add(found)
