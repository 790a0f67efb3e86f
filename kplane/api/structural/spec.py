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
_UNSUPPORTED = (
    "id",
    "$schema",
    "$ref",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
)
_SHAPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("type", "format", "pattern", "x-kubernetes-list-type", "x-kubernetes-map-type"), str),
    **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum"), bool),
    **dict.fromkeys(("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"), bool),
    **dict.fromkeys(("x-kubernetes-int-or-string",), bool),
    **dict.fromkeys(
        ("maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"), int
    ),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), (int, float)),
    **dict.fromkeys(("required", "enum", "allOf", "anyOf", "oneOf", "x-kubernetes-list-map-keys"), list),
    **dict.fromkeys(("properties", "not"), dict),
    "x-kubernetes-validations": list,
    "items": (dict, list),
    "additionalProperties": (dict, bool),
}
_NUMERIC = frozenset(key for key, shape in _SHAPES.items() if shape in (int, (int, float)))
_RULE_SHAPES: dict[str, type] = {
    **dict.fromkeys(("rule", "message", "messageExpression", "reason", "fieldPath"), str),
    "optionalOldSelf": bool,
}


class SchemaError(ValueError):
    """Not the schema of a custom resource; the text says why."""


class Malformed(SchemaError):
    """Not even JSONSchemaProps, or nested too deep."""


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


def parse(schema: Schema) -> Spec:
    """The tree of a schema. Raises SchemaError."""
    check_shape(schema)
    return _parse(schema)


def _parse(schema: Schema) -> Spec:
    _check_support(schema)
    additional = schema.get("additionalProperties")
    items = schema.get("items")
    negated = schema.get("not")
    return Spec(
        schema,
        type=schema.get("type") or "",
        format=supported_format(schema),
        nullable=schema.get("nullable") is True,
        default=schema.get("default"),
        properties={name: _parse(prop) for name, prop in (schema.get("properties") or {}).items()},
        items=_parse(items) if items is not None else None,
        additional=_parse(additional) if isinstance(additional, dict) else additional,
        preserve=schema.get("x-kubernetes-preserve-unknown-fields") is True,
        embedded=schema.get("x-kubernetes-embedded-resource") is True,
        int_or_string=schema.get("x-kubernetes-int-or-string") is True,
        list_type=schema.get("x-kubernetes-list-type") or "",
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
        map_type=schema.get("x-kubernetes-map-type") or "",
        rules=tuple(schema.get("x-kubernetes-validations") or ()),
        all_of=_branches(schema, "allOf"),
        any_of=_branches(schema, "anyOf"),
        one_of=_branches(schema, "oneOf"),
        negated=_parse(negated) if negated is not None else None,
    )


def _branches(schema: Schema, key: str) -> tuple[Spec, ...]:
    return tuple(_parse(branch) for branch in schema.get(key) or ())


def check_shape(schema: Any, depth: int = 0) -> None:
    """Raise Malformed unless a schema is JSONSchemaProps, not too deep, whatever it may mean."""
    if not isinstance(schema, dict):
        raise Malformed("OpenAPIV3Schema must be an object")
    if depth > MAX_DEPTH:
        raise Malformed(f"OpenAPIV3Schema is nested deeper than {MAX_DEPTH} levels")
    for key, shape in _SHAPES.items():
        value = schema.get(key)
        # A bool is an int to Python.
        is_bool = isinstance(value, bool) and key in _NUMERIC
        if value is not None and (is_bool or not isinstance(value, shape)):
            raise Malformed(f"OpenAPIV3Schema '{key}' is malformed")
    for key in ("required", "x-kubernetes-list-map-keys"):
        if not all(isinstance(name, str) for name in schema.get(key) or ()):
            raise Malformed(f"OpenAPIV3Schema '{key}' is malformed")
    for rule in schema.get("x-kubernetes-validations") or ():
        _check_rule(rule)
    for key in ("default", "enum"):
        _check_depth(schema.get(key), key)
    for inner in _inner(schema):
        check_shape(inner, depth + 1)


def _check_rule(rule: Any) -> None:
    shapes = _RULE_SHAPES.items()
    if not isinstance(rule, dict) or not all(
        rule.get(k) is None or isinstance(rule[k], s) for k, s in shapes
    ):
        raise Malformed("OpenAPIV3Schema 'x-kubernetes-validations' is malformed")


def _check_depth(value: Any, key: str) -> None:
    level, depth = [value], 0
    while level := [
        inner
        for entry in level
        if isinstance(entry, (dict, list))
        for inner in (entry.values() if isinstance(entry, dict) else entry)
    ]:
        depth += 1
        if depth > MAX_DEPTH:
            raise Malformed(f"OpenAPIV3Schema '{key}' is nested deeper than {MAX_DEPTH} levels")


def _inner(schema: Schema) -> Iterator[Any]:
    """Every schema within a schema."""
    yield from (schema.get("properties") or {}).values()
    for key in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(key) or ()
    yield from (schema[key] for key in ("items", "not") if isinstance(schema.get(key), dict))
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]


def _check_support(schema: Schema) -> None:
    for key in _UNSUPPORTED:
        # additionalItems counts even when it is false.
        if schema.get(key) or (key == "additionalItems" and schema.get(key) is not None):
            raise SchemaError(f"OpenAPIV3Schema '{'schema' if key == '$schema' else key}' is not supported")
    if isinstance(schema.get("items"), list):
        raise SchemaError("OpenAPIV3Schema 'items' must be a schema, but is an array")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        raise SchemaError("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined")


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
    kind = "" if schema.get("x-kubernetes-int-or-string") else schema.get("type") or ""
    if kind in ("", "string"):
        return form if form.replace("-", "") in STRING_FORMATS else ""
    return form if form in _NUMBER_FORMATS.get(kind, ()) else ""
