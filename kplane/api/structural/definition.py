"""Whether a schema may stand in a CustomResourceDefinition.

Rules and wording: apiextensions `apis/apiextensions/validation/validation.go`, with every requirement that
holds for a new `apiextensions.k8s.io/v1` definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kplane.api.field import FieldError, Path
from kplane.api.structural.compiled import Structural
from kplane.api.structural.definition_defaults import check_defaults
from kplane.api.structural.definition_lists import check_list_type, check_map_type
from kplane.api.structural.definition_rules import (
    LARGEST,
    CostBook,
    check_rule_texts,
    check_rules,
    max_elements,
)
from kplane.api.structural.invariants import check_invariants
from kplane.api.structural.spec import META_FIELDS, Malformed, Schema, SchemaError, Spec, check_shape, parse

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_EVEN_IF_EMPTY = frozenset({"additionalItems", "dependencies", "$ref"})
_NOT_AT_ROOT = (
    *(
        "id",
        "$schema",
        "$ref",
        "default",
        "enum",
        "maxProperties",
        "minProperties",
        "allOf",
        "oneOf",
        "anyOf",
    ),
    *("not", "additionalProperties", "patternProperties", "dependencies", "additionalItems", "definitions"),
    *(
        "nullable",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
    ),
    *("x-kubernetes-list-type", "x-kubernetes-map-type"),
)
_IF_STATUS = "at the root of the schema if the status subresource is enabled"
_AT_ROOT = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength"
    " Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example"
    " XPreserveUnknownFields XValidations"
)


@dataclass(frozen=True, slots=True)
class _Context:
    """What the schemas above say about a schema."""

    root: bool = False
    defaults_forbidden: str = ""
    """Why defaults must not be set; empty where they may."""
    in_meta: bool = False
    uncorrelated: Path | None = None
    """The outermost place beneath which values have no old values, so that rules cannot use `oldSelf`."""
    limit: int | None = 1
    """How many values of this schema an object can hold; None: as many as fit into a request."""


def validate_definition(
    schema: Schema, path: Path, *, status_subresource: bool = False
) -> Iterator[FieldError]:
    """Every fault of an `openAPIV3Schema`; `path` is its own place in the definition.

    `status_subresource`: whether the version has one, which limits what may stand at the root.
    """
    try:
        check_shape(schema)
        faults = _faults(schema, path, status_subresource)
    except Malformed as error:
        faults = [path.invalid("", str(error))]
    except RecursionError:
        faults = [path.invalid("", "OpenAPIV3Schema is nested too deep")]
    yield from faults


def _faults(schema: Schema, path: Path, status_subresource: bool) -> list[FieldError]:
    faults = [*_check_root(schema, path, status_subresource)]
    try:
        spec = parse(schema)
    except SchemaError as error:
        faults += _check(schema, path, _Context(root=True))
        # The walk usually says it better.
        return faults or [path.invalid("", str(error))]
    faults += _check_structure(spec, path)
    faults += _check(schema, path, _Context(root=True))
    if not faults:
        costs = CostBook()
        faults += _check_rules(spec, path, _Context(root=True), costs)
        faults += costs.faults(path)
    if not faults:
        # What passes must also work.
        Structural(spec)
    return faults


def _check_structure(spec: Spec, path: Path) -> list[FieldError]:
    faults = sorted(check_invariants(spec, path), key=str)
    if faults:
        return faults
    return list(check_defaults(spec, path))


def _check_root(schema: Schema, path: Path, status_subresource: bool) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if status_subresource and kind not in ("", "object"):
        text = f'only "object" is allowed as the type {_IF_STATUS}'
        yield path.child("type").invalid(kind, text)
    elif status_subresource and any(schema.get(key) for key in _NOT_AT_ROOT):
        text = f"only [{_AT_ROOT}] fields are allowed {_IF_STATUS}"
        yield path.invalid(schema, text)
    if schema.get("nullable"):
        yield path.nullable.forbidden("nullable cannot be true at the root")


def _check(schema: Schema, path: Path, context: _Context) -> Iterator[FieldError]:
    """One node and all beneath it, quantifiers included."""
    yield from _check_standard(schema, path, context)
    if schema.get("uniqueItems"):
        yield path.uniqueItems.forbidden(
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    additional, properties = schema.get("additionalProperties"), schema.get("properties") or {}
    if additional is not None and properties and additional is not True:
        yield path.additionalProperties.forbidden("additionalProperties and properties are mutual exclusive")
    if isinstance(additional, dict):
        yield from _check(additional, path.additionalProperties, _in_entries(context))
    for name, child in properties.items():
        yield from _check(child, path.properties[name], _in_field(schema, name, path, context))
    inner = replace(context, root=False)
    if isinstance(schema.get("not"), dict):
        yield from _check(schema["not"], path.child("not"), inner)
    for key in ("allOf", "oneOf", "anyOf"):
        for index, branch in enumerate(schema.get(key) or ()):
            yield from _check(branch, path.child(key)[index], inner)
    if isinstance(schema.get("items"), dict):
        yield from _check(schema["items"], path.child("items"), _in_items(schema, path, context))
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield path.child("x-kubernetes-preserve-unknown-fields").invalid(False, "must be true or undefined")
    yield from check_map_type(schema, path)
    yield from check_list_type(schema, path)
    yield from check_rule_texts(schema, path)


def _in_entries(context: _Context) -> _Context:
    if context.in_meta:
        forbidden = "inside additionalProperties applying to object metadata"
        return replace(context, root=False, defaults_forbidden=forbidden)
    return replace(context, root=False)


def _in_field(schema: Schema, name: str, path: Path, context: _Context) -> _Context:
    inner = replace(context, root=False)
    if schema.get("x-kubernetes-map-type") not in (None, "granular", "atomic"):
        inner = _without_old(inner, path)
    if (context.root or schema.get("x-kubernetes-embedded-resource")) and name in META_FIELDS:
        inner = replace(inner, in_meta=True)
        if context.root:
            inner = replace(inner, defaults_forbidden=f"in top-level {name}")
    return inner


def _in_items(schema: Schema, path: Path, context: _Context) -> _Context:
    inner = replace(context, root=False)
    return inner if schema.get("x-kubernetes-list-type") == "map" else _without_old(inner, path)


def _without_old(context: _Context, path: Path) -> _Context:
    return context if context.uncorrelated is not None else replace(context, uncorrelated=path)


def _check_standard(schema: Schema, path: Path, context: _Context) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        yield path.child("type").not_supported(kind, _TYPES)
    if schema.get("default") is not None and context.defaults_forbidden:
        yield path.default.forbidden(f"must not be set {context.defaults_forbidden}")
    for key in _UNSUPPORTED:
        value = schema.get(key)
        if value or (value is not None and key in _EVEN_IF_EMPTY):
            yield path.child(key).forbidden(f"{key} is not supported")
    if kind == "null":
        yield path.child("type").forbidden("type cannot be set to null, use nullable as an alternative")
    if schema.get("items") and isinstance(schema["items"], list):
        yield path.child("items").forbidden("items must be a schema object and not an array")
    if context.in_meta and schema.get("x-kubernetes-embedded-resource"):
        yield path.child("x-kubernetes-embedded-resource").forbidden(
            "must not be used inside of resource meta"
        )


def _check_rules(spec: Spec, path: Path, context: _Context, costs: CostBook) -> Iterator[FieldError]:
    """The expressions, once everything else is right: the innermost first."""
    own, times = context, max_elements(spec.raw)
    if context.limit is not None:
        limit = None if times is None else min(context.limit * times, LARGEST)
        context = replace(context, limit=limit)
    if isinstance(spec.additional, Spec):
        yield from _check_rules(spec.additional, path.additionalProperties, _in_entries(context), costs)
    for name, child in spec.properties.items():
        inner = _in_field(spec.raw, name, path, context)
        yield from _check_rules(child, path.properties[name], inner, costs)
    if spec.items is not None:
        yield from _check_rules(spec.items, path.child("items"), _in_items(spec.raw, path, context), costs)
    if spec.rules:
        yield from check_rules(spec, own.root, own.uncorrelated, own.limit, path, costs)
