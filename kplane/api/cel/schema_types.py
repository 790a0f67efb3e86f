"""Types from schemas: structural (OpenAPI v3) ones of custom resources, and nodes of the built-in
definitions.

Source: apiserver `pkg/cel/common/schemas.go`, which also says how large values can be, for static costs: by
the schema's own limits, else by what fits into the largest request.

A value that JSON writes as something else (numbers without a fraction, times, durations, bytes) or whose
equality is not that of its JSON (sets, associative lists) gets a view; everything else is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..schema import Node
from .conversions import double_view, lenient, parse_bytes, parse_date, parse_duration, parse_timestamp
from .escaping import escape, unescape
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    Structure,
    Type,
    View,
    list_of,
    map_of,
)
from .values import ListView, MapView

MAX_REQUEST = 3 * 1024 * 1024
_TIME_SIZE, _DATE_SIZE = 32, 12
_TIMED = TIMESTAMP.sized(_TIME_SIZE, 21)
_SPANNED = DURATION.sized(_TIME_SIZE, 3)


def type_of(schema: Mapping[str, Any] | Node, name: str = "object", *, root: bool = False) -> Type | None:
    """The type of values that a schema describes; None if expressions may not see them.

    `name` is what messages call it, nested objects `name.field`. `root`: the schema of a whole resource, in
    which apiVersion, kind, metadata.name and metadata.generateName are visible in any case.
    """
    if isinstance(schema, Node):
        return _of_node(schema, name)
    return _of_schema(schema, name, root)


# Structural schemas


def _of_schema(schema: Mapping[str, Any], name: str, root: bool) -> Type | None:
    if schema.get("x-kubernetes-int-or-string"):
        length = schema.get("maxLength")
        return DYN.sized(4 * max(length, 0) if length is not None else MAX_REQUEST - 2, 1)
    if root:
        schema = _with_metadata(schema)
    match schema.get("type"):
        case "array":
            return _array(schema, name)
        case "object":
            values = schema.get("additionalProperties")
            return _mapping(schema, values, name) if isinstance(values, Mapping) else _object(schema, name)
        case "string":
            return _string(schema)
        case "boolean":
            return BOOL.sized(0, 4)
        case "number":
            return _viewed(DOUBLE.sized(0), double_view)
        case "integer":
            return INT.sized(0)
    return None


_TEXT = {"type": "string"}
_METADATA = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}


def _with_metadata(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties") or {}
    metadata = properties.get("metadata", {}).get("properties") or {}
    kept = all(metadata.get(key, {}).get("type") == "string" for key in ("name", "generateName"))
    known = {"kind": _TEXT, "apiVersion": _TEXT, "metadata": properties["metadata"] if kept else _METADATA}
    return {**schema, "properties": {**properties, **known}}


def _nested(schema: Mapping[str, Any], name: str) -> Type | None:
    return _of_schema(schema, name, bool(schema.get("x-kubernetes-embedded-resource")))


def _array(schema: Mapping[str, Any], name: str) -> Type | None:
    item = _nested(schema["items"], f"{name}.@idx") if isinstance(schema.get("items"), Mapping) else None
    if item is None:
        return None
    most = schema.get("maxItems")
    most = max(most, 0) if most is not None else (MAX_REQUEST - 2) // (item.least + 1)
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    return list_of(item, most, _list_view(item.view, schema.get("x-kubernetes-list-type", "atomic"), keys))


def _mapping(schema: Mapping[str, Any], values: Mapping[str, Any], name: str) -> Type | None:
    value = _nested(values, f"{name}.@elem")
    if value is None:
        return None
    most = schema.get("maxProperties")
    most = max(most, 0) if most is not None else (MAX_REQUEST - 2) // (value.least + 6)
    return map_of(STRING.sized(0, 2), value, most, _map_view(value.view))


def _object(schema: Mapping[str, Any], name: str) -> Type:
    fields: dict[str, Field] = {}
    views: dict[str, View] = {}
    required = frozenset(schema.get("required") or ())
    least = 2
    for key, prop in (schema.get("properties") or {}).items():
        kind = _nested(prop, f"{name}.{key}")
        if kind is None:
            continue
        if identifier := escape(key):
            fields[identifier] = Field(kind, key, key in required)
        if kind.view is not None:
            views[key] = kind.view
        if key in required and "default" not in prop:
            least += len(key) + kind.least + 4
    view = _object_view(views.get) if views else None
    return Type("object", name=name, most=0, least=least, view=view, structure=Structure(fields.get))


def _string(schema: Mapping[str, Any]) -> Type:
    length = schema.get("maxLength")
    match schema.get("format"):
        case "byte":
            return _viewed(
                BYTES.sized(max(length, 0) if length is not None else MAX_REQUEST - 2, 2),
                lenient(parse_bytes),
            )
        case "duration":
            return _viewed(_SPANNED, lenient(parse_duration))
        case "date":
            return _viewed(TIMESTAMP.sized(_DATE_SIZE, _DATE_SIZE), lenient(parse_date))
        case "date-time":
            return _viewed(_TIMED, lenient(parse_timestamp))
    if length is not None:
        # The schema counts characters, requests are bytes: a character has at most four.
        return STRING.sized(4 * max(length, 0), 2)
    if words := schema.get("enum"):
        return STRING.sized(
            max((len(word.encode()) for word in words if isinstance(word, str)), default=0), 2
        )
    return STRING.sized(MAX_REQUEST - 2, 2)


# Nodes of built-in definitions

_SIMPLE = {
    "string": STRING.sized(MAX_REQUEST - 2, 2),
    "quantity": STRING.sized(MAX_REQUEST - 2, 2),
    "integer": INT.sized(0),
    "boolean": BOOL.sized(0, 4),
    "int-or-string": DYN.sized(MAX_REQUEST - 2),
}


def _of_node(node: Node, name: str) -> Type | None:
    match node.kind:
        case "object":
            return _node_object(node, node.go_type or name)
        case "list" if node.item is not None:
            item = _of_node(node.item, f"{name}.@idx")
            view = _list_view(item.view, node.list_type or "atomic", node.list_map_keys) if item else None
            return list_of(item, (MAX_REQUEST - 2) // (item.least + 1), view) if item else None
        case "map" if node.item is not None:
            value = _of_node(node.item, f"{name}.@elem")
            return (
                map_of(
                    STRING.sized(0, 2), value, (MAX_REQUEST - 2) // (value.least + 6), _map_view(value.view)
                )
                if value
                else None
            )
        case "number":
            return _viewed(DOUBLE.sized(0), double_view)
        case "date-time":
            return _viewed(_TIMED, lenient(parse_timestamp))
        case "bytes":
            return _viewed(BYTES.sized(MAX_REQUEST - 2, 2), lenient(parse_bytes))
    return _SIMPLE.get(node.kind)


def _node_object(node: Node, name: str) -> Type:
    fields = node.fields or {}

    def find(identifier: str) -> Field | None:
        key = unescape(identifier)
        if key is None or key not in fields or escape(key) != identifier:
            return None
        kind = _of_node(fields[key], f"{name}.{key}")
        return Field(kind, key, key in node.required) if kind is not None else None

    structure = Structure(find)

    views: dict[str, View | None] = {}

    def view_of(key: str) -> View | None:
        if key not in views:
            identifier = escape(key) if key in fields else None
            field = structure.field(identifier) if identifier else None
            if field is None:
                return None
            views[key] = field.type.view
        return views[key]

    # A definition may contain itself, so whether a view is needed is not asked; it is cheap.
    return Type("object", name=name, most=0, least=2, view=_object_view(view_of), structure=structure)


# Views


def _viewed(kind: Type, view: View) -> Type:
    return Type(kind.kind, kind.params, kind.name, kind.most, kind.least, view)


def _object_view(view_of: Callable[[str], View | None]) -> View:
    return lambda raw: MapView(raw, view_of) if isinstance(raw, dict) else raw


def _map_view(value: View | None) -> View | None:
    if value is None:
        return None
    return lambda raw: MapView(raw, lambda key: value) if isinstance(raw, dict) else raw


def _list_view(item: View | None, kind: str, keys: tuple[str, ...]) -> View | None:
    if item is None and kind == "atomic":
        return None
    return lambda raw: ListView(raw, item, kind, keys) if isinstance(raw, list) else raw
