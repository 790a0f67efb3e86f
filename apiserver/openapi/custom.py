"""Definitions of custom resources for the documents: what their schema says, and what every resource has.

OpenAPI v2 cannot say everything, and kubectl takes some of it wrongly: there quantifiers go, and what may be
null or holds unknown fields has no type. Rules: apiextensions `pkg/controller/openapi`.
"""

from __future__ import annotations

from typing import Any

from kplane.api.schema import META, Schema, definition
from kplane.api.scheme import CustomVersion, ResourceInfo

GVK = "x-kubernetes-group-version-kind"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_EITHER = "x-kubernetes-int-or-string"
_NOT_IN_V2 = frozenset({"allOf", "anyOf", "oneOf", "not", "nullable"})
_CONVENTIONS = (
    "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
)
_EMBEDDED_TYPES = {
    "apiVersion": "apiVersion defines the versioned schema of this representation of an object."
    f" {_CONVENTIONS}#resources",
    "kind": f"kind is a string value representing the type of this object. In CamelCase. {_CONVENTIONS}"
    "#types-kinds",
}


def definitions(row: ResourceInfo, custom: CustomVersion, *, v2: bool) -> dict[str, Schema]:
    """The definitions of one version: of its objects, and of its lists."""
    return {row.definition: _object(row, custom, v2), list_definition(row): _list(row)}


def list_definition(row: ResourceInfo) -> str:
    """Name of the definition of a resource's lists."""
    if row.custom is None:
        return f"{row.definition}List"
    return row.definition.removesuffix(row.kind) + row.list_kind


def _object(row: ResourceInfo, custom: CustomVersion, v2: bool) -> Schema:
    gvk = {GVK: [{"group": row.group, "version": row.version, "kind": row.kind}]}
    source = custom.source
    if v2 and source.get(_PRESERVE):
        # With any properties kubectl would refuse all others.
        return {"type": "object"} | gvk
    schema = _v2(source) if v2 else _v3(source)
    properties = dict(schema.get("properties") or {}) | _type_meta()
    properties["metadata"] = _reference("ObjectMeta", "Standard object's metadata.", "#metadata")
    return schema | {"properties": properties} | gvk


def _list(row: ResourceInfo) -> Schema:
    items = {
        "type": "array",
        "description": f"List of {row.plural}. {_CONVENTIONS}",
        "items": {"$ref": f"#/definitions/{row.definition}"},
    }
    metadata = _reference("ListMeta", "Standard list metadata.", "#types-kinds")
    return {
        "type": "object",
        "description": f"{row.list_kind} is a list of {row.kind}",
        "required": ["items"],
        "properties": {**_type_meta(), "items": items, "metadata": metadata},
        GVK: [{"group": row.group, "version": row.version, "kind": row.list_kind}],
    }


def _type_meta() -> Schema:
    """`apiVersion` and `kind`, as every built-in definition has them."""
    known = definition(f"{META}Status")["properties"]
    return {name: known[name] for name in ("apiVersion", "kind")}


def _reference(name: str, description: str, anchor: str) -> Schema:
    return {"$ref": f"#/definitions/{META}{name}", "description": f"{description} {_CONVENTIONS}{anchor}"}


def _v3(source: Schema) -> Schema:
    schema = _mapped(source, _v3)
    if schema.get(_EITHER) and not schema.get("anyOf"):
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return _with_type(schema) if schema.get(_EMBEDDED) else schema


def _v2(source: Schema) -> Schema:
    schema = {key: value for key, value in _mapped(source, _v2).items() if key not in _NOT_IN_V2}
    nullable, preserve = source.get("nullable"), source.get(_PRESERVE)
    if nullable or preserve:
        schema.pop("items", None)
        schema.pop("properties", None)
    kind = schema.get("type")
    if nullable or (kind == "array" and "items" not in schema) or (preserve and kind == "object"):
        schema.pop("type", None)
    _relax(source, schema)
    return _with_type(schema) if schema.get(_EMBEDDED) and not preserve else schema


def _relax(source: Schema, schema: Schema) -> None:
    """What may be null is not required in v2."""
    properties: dict[str, Any] = source.get("properties") or {}
    required = [
        name for name in schema.get("required") or () if not (properties.get(name) or {}).get("nullable")
    ]
    additional = source.get("additionalProperties")
    if isinstance(additional, dict) and additional.get("nullable"):
        required = []
    if "required" in schema:
        schema["required"] = required
        if not required:
            del schema["required"]


def _mapped(source: Schema, each: Any) -> Schema:
    """A copy, with its structural children mapped."""
    schema = dict(source)
    if properties := source.get("properties"):
        schema["properties"] = {name: each(child) for name, child in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(source.get(key), dict):
            schema[key] = each(source[key])
    return schema


def _with_type(schema: Schema) -> Schema:
    """An embedded resource, with the fields that each has."""
    known = _type_meta()
    properties = dict(schema.get("properties") or {})
    for name, description in _EMBEDDED_TYPES.items():
        properties[name] = known[name] | {"description": description}
    properties["metadata"] = _reference("ObjectMeta", "Standard object's metadata.", "#metadata")
    required = list(schema.get("required") or ())
    required += [name for name in ("kind", "apiVersion") if name not in required]
    return schema | {"properties": properties, "required": required}
