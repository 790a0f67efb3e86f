"""A JSON schema, read once: what pruning, defaulting and validating walk over.

`parse` turns the JSON of `apiextensions.k8s.io/v1` JSONSchemaProps into a tree of `Spec`s. It refuses what no
structural schema may hold; whether the rest is legal in a definition is the business of `definition`.

Invariant: a tree is at most MAX_DEPTH deep. Walks over it and a value together cannot exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

MAX_DEPTH = 128
"""Levels of a schema, quantifiers included. The deepest known definitions have about thirty."""

META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_UNSUPPORTED = ("id", "$schema", "$ref", "patternProperties", "dependencies", "definitions")
_SHAPES: tuple[tuple[str, type], ...] = (
    ("type", str),
    ("format", str),
    ("nullable", bool),
    ("properties", dict),
    ("required", list),
    ("enum", list),
    ("allOf", list),
    ("anyOf", list),
    ("oneOf", list),
    ("not", dict),
    ("pattern", str),
    ("uniqueItems", bool),
    ("exclusiveMinimum", bool),
    ("exclusiveMaximum", bool),
    ("x-kubernetes-list-map-keys", list),
    ("x-kubernetes-list-type", str),
    ("x-kubernetes-map-type", str),
    ("x-kubernetes-validations", list),
)


class SchemaError(ValueError):
    """Not the schema of a custom resource; the text says why."""


@dataclass(slots=True, eq=False)
class Spec:
    """One schema node. `raw` is its JSON; whatever a walk needs often stands beside it."""

    raw: Schema
    type: str = ""
    format: str = ""
    """Empty where upstream ignores the format: an unknown one, or one of another type."""
    nullable: bool = False
    default: Any = None
    """None: there is none. A default of null means the same."""
    properties: dict[str, Spec] = field(default_factory=dict)
    items: Spec | None = None
    additional: Spec | bool | None = None
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    list_type: str = ""
    list_keys: tuple[str, ...] = ()
    map_type: str = ""
    rules: tuple[Schema, ...] = ()
    all_of: tuple[Spec, ...] = ()
    any_of: tuple[Spec, ...] = ()
    one_of: tuple[Spec, ...] = ()
    negated: Spec | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """The JSON types that are allowed; empty for any."""
        if self.int_or_string:
            return ("integer", "string")
        return (self.type,) if self.type else ()

    def child(self, name: str) -> Spec | None:
        """The schema of an object's field or a map's entry."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional, Spec):
            return self.additional
        return found

    def children(self) -> Iterator[Spec]:
        """Structural children only: not the branches of quantifiers."""
        yield from self.properties.values()
        if self.items is not None:
            yield self.items
        if isinstance(self.additional, Spec):
            yield self.additional


def parse(schema: Schema, depth: int = 0) -> Spec:
    """The tree of a schema. Raises SchemaError."""
    if depth > MAX_DEPTH:
        raise SchemaError(f"OpenAPIV3Schema is nested deeper than {MAX_DEPTH} levels")
    _check_shape(schema)
    additional = schema.get("additionalProperties")
    items = schema.get("items")
    if isinstance(items, dict) and "JSONSchemas" in items:
        raise SchemaError("OpenAPIV3Schema 'items' must be a schema, but is an array")
    return Spec(
        schema,
        type=schema.get("type", ""),
        format=supported_format(schema),
        nullable=schema.get("nullable", False),
        default=schema.get("default"),
        properties={name: parse(prop, depth + 1) for name, prop in (schema.get("properties") or {}).items()},
        items=parse(items, depth + 1) if items is not None else None,
        additional=parse(additional, depth + 1) if isinstance(additional, dict) else additional,
        preserve=schema.get("x-kubernetes-preserve-unknown-fields") is True,
        embedded=schema.get("x-kubernetes-embedded-resource") is True,
        int_or_string=schema.get("x-kubernetes-int-or-string") is True,
        list_type=schema.get("x-kubernetes-list-type") or "",
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        map_type=schema.get("x-kubernetes-map-type") or "",
        rules=tuple(schema.get("x-kubernetes-validations") or ()),
        all_of=_branches(schema, "allOf", depth),
        any_of=_branches(schema, "anyOf", depth),
        one_of=_branches(schema, "oneOf", depth),
        negated=parse(schema["not"], depth + 1) if schema.get("not") is not None else None,
    )


def _branches(schema: Schema, key: str, depth: int) -> tuple[Spec, ...]:
    return tuple(parse(branch, depth + 1) for branch in schema.get(key) or ())


def _check_shape(schema: Any) -> None:
    if not isinstance(schema, dict):
        raise SchemaError("OpenAPIV3Schema must be an object")
    for key in _UNSUPPORTED:
        if schema.get(key):
            raise SchemaError(
                f"OpenAPIV3Schema '{key.removeprefix('$') if key != '$ref' else key}' is not supported"
            )
    if schema.get("additionalItems") is not None:
        raise SchemaError("OpenAPIV3Schema 'additionalItems' is not supported")
    for key, shape in _SHAPES:
        value = schema.get(key)
        if value is not None and not isinstance(value, shape):
            raise SchemaError(f"OpenAPIV3Schema '{key}' is malformed")
    if isinstance(schema.get("items"), list):
        raise SchemaError("OpenAPIV3Schema 'items' must be a schema, but is an array")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        raise SchemaError("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined")
    strings = [*(schema.get("required") or ()), *(schema.get("x-kubernetes-list-map-keys") or ())]
    rules = schema.get("x-kubernetes-validations") or ()
    if not all(isinstance(name, str) for name in strings) or not all(
        isinstance(rule, dict) for rule in rules
    ):
        raise SchemaError("OpenAPIV3Schema is malformed")
    additional = schema.get("additionalProperties")
    if additional is not None and not isinstance(additional, (dict, bool)):
        raise SchemaError("OpenAPIV3Schema 'additionalProperties' is malformed")


STRING_FORMATS = frozenset(
    {
        *(
            "bsonobjectid",
            "uri",
            "email",
            "hostname",
            "ipv4",
            "ipv6",
            "cidr",
            "mac",
            "uuid",
            "uuid3",
            "uuid4",
        ),
        *(
            "uuid5",
            "isbn",
            "isbn10",
            "isbn13",
            "creditcard",
            "ssn",
            "hexcolor",
            "rgbcolor",
            "byte",
            "password",
        ),
        *("date", "duration", "datetime", "quantity", "k8sshortname", "k8slongname"),
    }
)
"""Without their dashes, which do not count in a format's name."""

_NUMBER_FORMATS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def supported_format(schema: Schema) -> str:
    """The format as it is written, or nothing where it is to be ignored."""
    form: str = schema.get("format") or ""
    kind = "" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "")
    if kind in ("", "string"):
        return form if form.replace("-", "") in STRING_FORMATS else ""
    return form if form in _NUMBER_FORMATS.get(kind, ()) else ""
