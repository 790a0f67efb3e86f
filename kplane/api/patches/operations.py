"""JSON patch, RFC 6902: the `jsonpatch` library with upstream's errors."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from kplane.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object

MAX_OPERATIONS = 10_000
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
        patched = jsonpatch.JsonPatch(duplicate(operations)).apply(duplicate(obj), in_place=True)
    except (
        jsonpatch.JsonPatchException,
        jsonpointer.JsonPointerException,
        # What the library lets through when a pointer walks into a scalar.
        TypeError,
        KeyError,
        IndexError,
    ) as error:
        raise Invalid(_REJECTED) from error
    if not isinstance(patched, dict):
        raise Invalid(_REJECTED)
    return patched


def _check_form(operations: Any) -> None:
    if not isinstance(operations, list):
        kind = _GO_TYPES.get(type(operations), "null")
        raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    for operation in operations:
        if not isinstance(operation, dict):
            kind = _GO_TYPES.get(type(operation), "array")
            raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation")
