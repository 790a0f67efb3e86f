"""Server-side apply: the configuration in the body of a PATCH, and the options that come with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from kplane.api import schema
from kplane.api.check import cannot_handle, check
from kplane.api.decode import (
    DecodeError,
    decode_json,
    decode_yaml_strictly,
    duplicate_keys,
)
from kplane.api.decode import unrecognized as unreadable
from kplane.api.errors import BadRequest, invalid
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from .call import Call
from .decoding import check_custom, field_validation
from .requestinfo import is_true

APPLY_PATCH = "application/apply-patch+yaml"


class Configuration(NamedTuple):
    """What is to be applied, as JSON: each attempt decodes its own copy."""

    body: bytes
    force: bool


async def read_configuration(call: Call, row: ResourceInfo) -> Configuration:
    """Raises BadRequest, also for fields that the schema does not know, and Invalid."""
    policy = field_validation(call, "PatchOptions")
    if not call.query("fieldManager"):
        fault = Path("fieldManager").required("is required for apply patch")
        raise invalid("PatchOptions", "meta.k8s.io", "", [fault])
    body = await call.body()
    if call.audit is not None:
        call.audit.patched(body)
    config = _decode(call, body, row, policy)
    _check_kind(config, row)
    # Its name may come from the URL alone.
    metadata = config.setdefault("metadata", {})
    if isinstance(metadata, dict):
        metadata.setdefault("name", call.info.name)
        if namespace := call.info.namespace_of(row):
            metadata.setdefault("namespace", namespace)
    _check_fields(config, row)
    _check_place(call, config["metadata"], row)
    return Configuration(msgspec.json.encode(config), is_true(call.info.query.get("force")))


def _decode(call: Call, body: bytes, row: ResourceInfo, policy: str) -> Object:
    is_json = body.lstrip()[:1] == b"{"
    try:
        config, faults = (decode_json(body), []) if is_json else decode_yaml_strictly(body)
    except DecodeError as error:
        raise BadRequest(f"error decoding YAML: {unreadable(row.kind, str(error), body)}") from error
    if policy == "Ignore":
        return config
    if is_json:
        faults = [f'duplicate field "{path}"' for path in duplicate_keys(body, config)]
    if policy == "Strict" and faults:
        raise BadRequest(f"error decoding YAML: strict decoding error: {', '.join(faults)}")
    for text in faults:
        call.warn(text)
    return config


def _check_kind(config: Object, row: ResourceInfo) -> None:
    kind, version = config.get("kind"), config.get("apiVersion")
    for name, value in (("Kind", kind), ("apiVersion", version)):
        if not value or not isinstance(value, str):
            raise BadRequest(f"invalid object type: Object '{name}' is missing")
    if (version, kind) != (row.api_version, row.kind):
        raise BadRequest(
            "Incorrect version specified in apply patch. Specified patch version: "
            f"{version}, Kind={kind}, expected: {row.api_version}, Kind={row.kind}"
        )


def _check_fields(config: Object, row: ResourceInfo) -> None:
    found = check_custom(config, row.custom) if row.custom else check(config, row.node)
    if found.errors:
        raise BadRequest(cannot_handle(row.kind, row.version, found.errors[0]))
    config.setdefault("metadata", {})
    faults = [f".{path}: field not declared in schema" for path in found.unknown]
    if row.custom:
        faults += shape_faults(config, row.node)
    if faults:
        meta = config["metadata"]
        where = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {row.api_version}, Kind={row.kind}"
        text = faults[0] if len(faults) == 1 else "errors:\n  " + "\n  ".join(faults)
        raise BadRequest(f"failed to create typed patch object ({where}): {text}")


def shape_faults(value: Any, node: schema.Node, path: str = "") -> Iterator[str]:
    """Where a value has not the shape of its schema: merging could not walk it. What scalars are is
    validated later."""
    if value is None or node.kind in ("any", "quantity", "int-or-string", "date-time", "bytes"):
        return
    wanted = {"object": "map", "map": "map", "list": "list"}.get(node.kind, "scalar")
    found = "map" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"
    if wanted != found:
        yield f"{path}: expected {_WORDS.get(node.kind, wanted)}, got {_shown(value)}"
    elif isinstance(value, dict):
        for name, entry in value.items():
            child = (node.fields or {}).get(name) if node.kind == "object" else node.item
            if child is not None:
                yield from shape_faults(entry, child, f"{path}.{name}")
    elif isinstance(value, list) and node.item is not None:
        for index, entry in enumerate(value):
            yield from shape_faults(entry, node.item, f"{path}[{index}]")


_WORDS = {
    "string": "string",
    "integer": "numeric (int or float)",
    "number": "numeric (int or float)",
    "boolean": "boolean",
}


def _shown(value: Any) -> str:
    """A value as structured-merge-diff's messages have it."""
    return f"&{{{msgspec.json.encode(value).decode()}}}" if isinstance(value, (dict, list, str)) else "scalar"


def _check_place(call: Call, metadata: Object, row: ResourceInfo) -> None:
    if "managedFields" in metadata:
        raise BadRequest("metadata.managedFields must be nil")
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    if name != call.info.name:
        raise BadRequest(
            f"the name of the object ({name}) does not match the name on the URL ({call.info.name})"
        )
    if namespace != call.info.namespace_of(row):
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
