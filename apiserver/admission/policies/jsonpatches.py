"""JSON patches that an expression made: from `JSONPatch{…}` values to operations, and what is said of those
that do not apply.

Texts: json-patch v4, which upstream uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from kplane.api.cel import EvaluationError, to_json
from kplane.api.cel.library.mutation import check_patch_value
from kplane.api.errors import ApiError
from kplane.api.patches import json_patch
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object

_FAULTS = (
    jsonpatch.JsonPatchException,
    jsonpointer.JsonPointerException,
    TypeError,
    KeyError,
    IndexError,
)
"""What the library raises for operations that do not apply."""
_VALUED = frozenset({"add", "replace", "test"})


class Inapplicable(Exception):
    """The patch cannot be applied."""


class NotMeant(Exception):
    """A `test` of the patch fails: the object is to stay as it is."""


def operations(patches: Sequence[Mapping[str, Any]]) -> list[Object]:
    """Raises EvaluationError."""
    return [_operation(patch) for patch in patches]


def _operation(patch: Mapping[str, Any]) -> Object:
    made: Object = {"op": patch.get("op", ""), "path": patch.get("path", "")}
    if source := patch.get("from"):
        made["from"] = source
    if "value" in patch:
        try:
            check_patch_value(patch["value"])
        except EvaluationError as error:
            raise EvaluationError(f"type mismatch: {error}") from error
        try:
            made["value"] = to_json(patch["value"])
        except EvaluationError as error:
            text = "JSONPath valueExpression evaluated to a type that could not marshal to JSON"
            raise EvaluationError(f"{text}: {error}") from error
    elif made["op"] in _VALUED:
        made["value"] = None
    return made


def applied(obj: Object, patch: list[Object]) -> Object:
    """Raises Inapplicable, NotMeant."""
    try:
        return json_patch(obj, patch)
    except ApiError as error:
        cause = error.__cause__
        if isinstance(cause, jsonpatch.JsonPatchTestFailed):
            raise NotMeant from error
        # Anything else was cut off for its size, and is not to be tried again.
        known = isinstance(cause, _FAULTS)
        raise Inapplicable((_why(obj, patch) if known else "") or error.message) from error


def _why(obj: Object, patch: list[Object]) -> str:
    """What is wrong with the first operation that does not apply. Up to there, the patch is known to be
    bounded; each operation is applied in place."""
    obj = duplicate(obj)
    for operation in patch:
        try:
            obj = jsonpatch.JsonPatch([operation]).apply(obj, in_place=True)
        except _FAULTS:
            return _fault(obj, operation)
    return ""


def _fault(obj: Object, operation: Object) -> str:
    kind, path = operation["op"], operation["path"]
    place = operation.get("from", "") if kind in ("move", "copy") else path
    parent, _, last = place.rpartition("/")
    found, container = _look_up(obj, parent)
    key = _unescaped(last)
    container = container if isinstance(container, (dict, list)) else None
    match kind:
        case "add" | "remove" if not found or container is None:
            return f'{kind} operation does not apply: doc is missing path: "{path}": missing value'
        case "add":
            return f"error in add for path: '{path}': {_bad_index(key)}"
        case "remove" if isinstance(container, list):
            return f"error in remove for path: '{path}': {_bad_index(key)}"
        case "remove":
            text = f"Unable to remove nonexistent key: {key}: missing value"
            return f"error in remove for path: '{path}': {text}"
        case "replace" if container is not None:
            return f"replace operation does not apply: doc is missing key: {path}: missing value"
        case "replace":
            return f"replace operation does not apply: doc is missing path: {path}: missing value"
        case "test":
            return f"test operation does not apply: is missing path: {path}: missing value"
        case "move" | "copy":
            missing, where = ("destination", path) if _look_up(obj, place)[0] else ("from", place)
            return f"{kind} operation does not apply: doc is missing {missing} path: {where}: missing value"
    return f"Unexpected kind: {kind}"


def _look_up(value: Any, pointer: str) -> tuple[bool, Any]:
    for step in pointer.split("/")[1:]:
        step = _unescaped(step)
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return False, None
    return True, value


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _bad_index(key: str) -> str:
    try:
        index = int(key)
    except ValueError:
        return f"value was not a proper array index: '{key}': strconv.Atoi: parsing \"{key}\": invalid syntax"
    return f"Unable to access invalid index: {index}: invalid index referenced"
