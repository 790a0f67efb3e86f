"""JSON merge patch, RFC 7386."""

from __future__ import annotations

from typing import Any

from kplane.api.errors import BadRequest
from kplane.api.patches.copying import duplicate, without_nulls
from kplane.api.resource import Object


def merge(obj: Object, patch: Object) -> Object:
    """The patched object: null deletes, objects merge, everything else replaces. Raises BadRequest for a
    patch that is not an object, which would leave something that is none."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: Invalid JSON Patch")
    return _merge(obj, patch)


def _merge(target: Object, patch: Object) -> Object:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge_member(result.get(key), value)
        else:
            result[key] = duplicate(value)
    return result


def _merge_member(target: Any, patch: Object) -> Object:
    return _merge(target, patch) if isinstance(target, dict) else without_nulls(patch)
