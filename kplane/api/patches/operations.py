"""JSON patch, RFC 6902: the `jsonpatch` library with upstream's errors."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer
import msgspec

from kplane.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes that all `copy` operations together may add: each of them can double the object."""
_REJECTED = "the server rejected our request due to an error in our request"
_GO_TYPES = {dict: "object", str: "string", int: "number", float: "number", bool: "bool"}


def json_patch(obj: Object, operations: Any) -> Object:
    """The patched object. Raises BadRequest for what is no list of operations, RequestEntityTooLarge for too
    many of them, Invalid for operations that do not apply (a failed test, a path that is not there)."""
    _check_form(operations)
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    try:
        patched = _apply(duplicate(operations), duplicate(obj))
    except (
        _TooMuchCopied,
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        # What the library lets through when a pointer walks into a scalar.
        TypeError,
        KeyError,
        IndexError,
    ) as error:
        raise Invalid(_REJECTED, {}) from error
    if not isinstance(patched, dict):
        raise Invalid(_REJECTED, {})
    return patched


class _TooMuchCopied(Exception):
    """The patch copies more than MAX_COPIED."""


def _apply(operations: list[Object], obj: Any) -> Any:
    copied = 0
    patch = jsonpatch.JsonPatch(operations)
    if sum(operation["op"] == "copy" for operation in operations) < 2:
        return patch.apply(obj, in_place=True)
    for operation in operations:
        if operation["op"] == "copy":
            copied += len(msgspec.json.encode(jsonpointer.resolve_pointer(obj, operation["from"])))
            if copied > MAX_COPIED:
                raise _TooMuchCopied
        obj = jsonpatch.JsonPatch([operation]).apply(obj, in_place=True)
    return obj


def _check_form(operations: Any) -> None:
    if not isinstance(operations, list):
        kind = _GO_TYPES.get(type(operations), "null")
        raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    for operation in operations:
        if not isinstance(operation, dict):
            kind = _GO_TYPES.get(type(operation), "array")
            raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation")
