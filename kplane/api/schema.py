"""Schemas as data: the definitions of Kubernetes' OpenAPI, loaded from one compact file in the wheel.

`deploy/build/` normalises PyPI's `kubernetes-validate` definitions into it when kplane is built. The form is
that of upstream's OpenAPI v2 `definitions`: nullable unions undone, Quantity and IntOrString as upstream
writes them, `x-kubernetes-*` extensions and descriptions kept.

Reads: `data/schema.json`, once, on first use; a definition is decoded when it is asked for.
Invariant: what is handed out is shared by everybody. Nobody may change it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"

_REF = "#/definitions/"
_OPAQUE = frozenset({RAW_EXTENSION, f"{META}FieldsV1", f"{META}Patch"})
"""Objects whose fields are nobody's business; all other objects without properties are empty."""
_STRING_KINDS = {"int-or-string": "int-or-string", "date-time": "date-time", "byte": "bytes"}


@cache
def definitions() -> dict[str, Schema]:
    """Every definition by name, in OpenAPI v2 form (`$ref: #/definitions/…`). Loaded on first use."""
    return {name: definition(name) for name in _raw()}


@cache
def definition(name: str) -> Schema:
    """One definition, in OpenAPI v2 form. Raises KeyError."""
    schema: Schema = msgspec.json.decode(_raw()[name])
    return schema


@cache
def _raw() -> dict[str, msgspec.Raw]:
    """The file, split into the undecoded definitions."""
    data = Path(__file__).with_name("data").joinpath("schema.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Node:
    """One schema node, references resolved: what pruning, checking, merging and `explain` walk over.

    `kind` is one of object, map, list, string, integer, number, boolean, quantity, int-or-string,
    date-time, bytes, any. `fields` for objects; `item` for lists and maps.
    """

    kind: str
    fields: dict[str, Node] | None = None
    item: Node | None = None
    required: frozenset[str] = frozenset()
    enum: frozenset[str] = frozenset()
    format: str = ""
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_strategy: tuple[str, ...] = ()
    merge_key: str = ""
    preserve_unknown: bool = False
    go_type: str = ""
    """Short name of the definition, e.g. `PodSpec`, for error messages."""
    default: Any = None
    """Of the fields that are keys of associative lists, such as a port's protocol; else None."""


_compiled: dict[str, Node] = {}


def node(definition: str) -> Node:
    """The compiled node of a definition; compiled lazily and kept, so that recursion is allowed."""
    return _compiled.get(definition) or _compile_definition(definition)


def _compile_definition(name: str) -> Node:
    schema = definition(name)
    go_type = name.rpartition(".")[2]
    if name == QUANTITY:
        compiled = Node("quantity", go_type=go_type)
    elif name in _OPAQUE:
        compiled = Node("object", fields={}, preserve_unknown=True, go_type=go_type)
    elif schema.get("type") == "object" and "additionalProperties" not in schema:
        required = frozenset(schema.get("required", ()))
        compiled = replace(_annotated(Node("object", {}), schema), required=required, go_type=go_type)
        # Known before its fields are: a definition may contain itself.
        _compiled[name] = compiled
        assert compiled.fields is not None
        compiled.fields.update(
            (key, compile_schema(prop)) for key, prop in schema.get("properties", {}).items()
        )
    else:
        compiled = replace(compile_schema(schema), go_type=go_type)
    _compiled[name] = compiled
    return compiled


def compile_schema(schema: Schema) -> Node:
    """The node of a schema that stands inside a definition, or of a custom resource's structural schema."""
    if reference := schema.get("$ref"):
        return _annotated(node(reference.removeprefix(_REF)), schema)
    return _annotated(_plain(schema), schema)


def _plain(schema: Schema) -> Node:
    """The node by its type alone."""
    if schema.get("x-kubernetes-int-or-string"):
        return Node("int-or-string")
    match schema.get("type"):
        case "object" if "properties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            return Node("map", item=compile_schema(schema["additionalProperties"]))
        case "object":
            fields = {key: compile_schema(prop) for key, prop in schema.get("properties", {}).items()}
            return Node("object", fields, required=frozenset(schema.get("required", ())))
        case "array":
            return Node("list", item=compile_schema(schema.get("items", {})))
        case "string":
            form = schema.get("format", "")
            return _scalar(_STRING_KINDS.get(form, "string"), form)
        case "integer" | "number" | "boolean" as kind:
            return _scalar(kind, schema.get("format", ""))
        case _:
            return Node("any", preserve_unknown=True)


@cache
def _scalar(kind: str, form: str) -> Node:
    return Node(kind, format=form)


def _annotated(base: Node, schema: Schema) -> Node:
    """`base` with what the place where it stands says of it."""
    extra: dict[str, Any] = {}
    for key, value in schema.items():
        match key:
            case "x-kubernetes-list-type":
                extra["list_type"] = value
            case "x-kubernetes-list-map-keys":
                extra["list_map_keys"] = tuple(value)
            case "x-kubernetes-map-type":
                extra["map_type"] = value
            case "x-kubernetes-patch-strategy":
                extra["patch_strategy"] = tuple(value.split(","))
            case "x-kubernetes-patch-merge-key":
                extra["merge_key"] = value
            case "x-kubernetes-preserve-unknown-fields":
                extra["preserve_unknown"] = bool(value)
            case "enum":
                extra["enum"] = frozenset(entry for entry in value if isinstance(entry, str))
            case "default":
                extra["default"] = value
    return replace(base, **extra) if extra else base
