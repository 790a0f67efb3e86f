"""What mutating policies add: `Object{…}` for apply configurations, `JSONPatch{…}`, `jsonpatch.escapeKey`.

`mutation_type` is given to an Environment as its `types`.
"""

from __future__ import annotations

from typing import Any

from .. import charges
from ..errors import EvaluationError
from ..escaping import unescape
from ..overload import Overload, function
from ..types import DYN, STRING, Field, Structure, Type, object_of
from ..values import Optional, Struct, is_list, is_map, to_json

_ROOT = "Object"
JSON_PATCH = object_of("JSONPatch", {"op": STRING, "path": STRING, "from": STRING, "value": DYN})


def mutation_type(name: str) -> Type | None:
    """`JSONPatch`, `Object` and every `Object.…`, whose fields may be anything."""
    if name == JSON_PATCH.name:
        return JSON_PATCH
    if name == _ROOT or name.startswith(f"{_ROOT}."):
        return Type("object", name=name, structure=Structure(lambda key: Field(DYN, unescape(key) or key)))
    return None


APPLY_CONFIGURATION = mutation_type(_ROOT)
"""The type that an expression for an apply configuration must have."""


def apply_configuration(value: Any) -> Any:
    """The plain data of an `Object{…}`. Raises EvaluationError where a nested type is named wrongly."""
    _check_names(value, _ROOT)
    return to_json(value)


def check_patch_value(value: Any) -> None:
    """Raises EvaluationError where the `value` of a `JSONPatch{…}` is an `Object.…{…}` with a nested type
    that is named wrongly."""
    if isinstance(value, Struct):
        _check_names(value, value.type_name)


def _check_names(value: Any, path: str) -> None:
    """A nested object is called by the path of its field, list items as their list."""
    if isinstance(value, Optional):
        _check_names(value.value, path)
    elif isinstance(value, Struct):
        if value.type_name != path:
            raise EvaluationError(
                f'unexpected type name "{value.type_name}", expected "{path}",'
                " which matches field name path from root Object type"
            )
        for key, item in value.items():
            _check_names(item, f"{path}.{key}")
    elif is_list(value):
        for item in value:
            _check_names(item, path)
    elif is_map(value):
        for item in value.values():
            _check_names(item, path)


def _escape_key(key: str) -> str:
    """A key as one step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


OVERLOADS: list[Overload] = [
    function("jsonpatch.escapeKey", (STRING,), STRING, _escape_key, charges.reads(factor=2)),
]
