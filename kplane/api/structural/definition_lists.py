"""`x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type` in a definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kplane.api.field import FieldError, Path
from kplane.api.structural.spec import Schema

_LIST_TYPE, _LIST_KEYS, _MAP_TYPE = (
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)


def check_map_type(schema: Schema, path: Path) -> Iterator[FieldError]:
    map_type = schema.get(_MAP_TYPE)
    if map_type is None:
        return
    yield from _need_type(schema, "object", f"{_MAP_TYPE} is specified", path)
    if map_type not in ("atomic", "granular"):
        yield path.child(_MAP_TYPE).not_supported(map_type, ("atomic", "granular"))


def check_list_type(schema: Schema, path: Path) -> Iterator[FieldError]:
    list_type, keys = schema.get(_LIST_TYPE), schema.get(_LIST_KEYS) or []
    items = schema.get("items")
    if list_type is not None:
        yield from _need_type(schema, "array", f"{_LIST_TYPE} is specified", path)
    if list_type == "set" and schema.get("type") == "array" and isinstance(items, dict):
        yield from _check_set_items(items, path.child("items"))
    if list_type not in (None, "atomic", "set", "map"):
        yield path.child(_LIST_TYPE).not_supported(list_type, ("atomic", "set", "map"))
    if keys and list_type != "map":
        text = f"must be map if {_LIST_KEYS} is non-empty"
        place = path.child(_LIST_TYPE)
        yield place.required(text) if list_type is None else place.invalid(list_type, text)
    if list_type == "map":
        yield from _check_map(schema, keys, path)
    if list_type in ("set", "map") and isinstance(items, dict):
        yield from _check_items(items, list_type, keys, path.child("items"))


def _need_type(schema: Schema, wanted: str, reason: str, path: Path) -> Iterator[FieldError]:
    kind = schema.get("type") or ""
    if kind != wanted:
        text = f"must be {wanted} if {reason}"
        place = path.child("type")
        yield place.invalid(kind, text) if kind else place.required(text)


def _check_set_items(items: Schema, path: Path) -> Iterator[FieldError]:
    text = f"must be atomic as item of a list with {_LIST_TYPE}=set"
    list_type = items.get(_LIST_TYPE)
    if items.get("type") == "array" and list_type not in (None, "atomic"):
        yield path.child(_LIST_TYPE).invalid(list_type, text)
    if items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
        # Upstream shows the list type here.
        yield path.child(_MAP_TYPE).invalid("null" if list_type is None else list_type, text)


def _check_map(schema: Schema, keys: Sequence[str], path: Path) -> Iterator[FieldError]:
    items = schema.get("items")
    if not keys:
        yield path.child(_LIST_KEYS).required(f"must not be empty if {_LIST_TYPE} is map")
    if items is None:
        yield path.child("items").required(f"must have a schema if {_LIST_TYPE} is map")
    elif not isinstance(items, dict):
        yield path.child("items").invalid(items, f"must only have a single schema if {_LIST_TYPE} is map")
    elif items.get("type") != "object":
        text = f"must be object if parent array's {_LIST_TYPE} is map"
        yield path.child("items").child("type").invalid(items.get("type") or "", text)
    else:
        yield from _check_keys(items, keys, path)


def _check_keys(items: Schema, keys: Sequence[str], path: Path) -> Iterator[FieldError]:
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            yield path.child(_LIST_KEYS).invalid(keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            place = path.child("items").properties[key].child("type")
            yield place.invalid("object", f"must be a scalar type if parent array's {_LIST_TYPE} is map")
        if key in keys[:index]:
            yield path.child(_LIST_KEYS).invalid(keys, "must not contain duplicate entries")


def _check_items(items: Schema, list_type: str, keys: Sequence[str], path: Path) -> Iterator[FieldError]:
    if items.get("nullable"):
        yield path.nullable.forbidden(f"cannot be nullable when {_LIST_TYPE} is {list_type}")
    if list_type != "map":
        return
    for key in keys:
        prop = (items.get("properties") or {}).get(key)
        if prop is None:
            continue
        place, text = path.properties[key], f"this property is in {_LIST_KEYS}, so it"
        if key not in (items.get("required") or ()) and prop.get("default") is None:
            yield place.default.required(f"{text} must have a default or be a required property")
        if prop.get("nullable"):
            yield place.nullable.forbidden(f"{text} cannot be nullable")
