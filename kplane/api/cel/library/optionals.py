"""Optional values: `optional.of(x)`, `a.?b`, `a[?b]`, `x.orValue(y)`. Source: cel-go `cel/library.go`."""

from __future__ import annotations

from typing import Any

from ..errors import EvaluationError
from ..overload import Overload, function, method
from ..types import BOOL, DYN, INT, list_of, map_of, optional_of, variable
from ..values import NONE, Optional, UInt, is_list, is_map, type_name
from .standard import index_list, index_map

_V, _K = variable("V"), variable("K")
_OPTIONAL = optional_of(_V)
_ZEROES: tuple[Any, ...] = (0, 0.0, "", b"", None, False)


def _is_zero(value: Any) -> bool:
    if is_list(value) or is_map(value):
        return len(value) == 0
    zero = getattr(value, "nanoseconds", value)
    return type(zero) in (int, UInt, float, str, bytes, bool, type(None)) and zero in _ZEROES


def _value(held: Optional) -> Any:
    if held.present:
        return held.value
    raise EvaluationError("optional.none() dereference")


def find(container: Any, key: Any) -> Optional:
    """The item of a list, map or optional, if there is one."""
    if isinstance(container, Optional):
        return find(container.value, key) if container.present else NONE
    if is_list(container):
        if type(key) not in (int, UInt):
            raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
        return Optional(container[key], True) if 0 <= key < len(container) else NONE
    if is_map(container):
        return Optional(container[key], True) if key in container else NONE
    raise EvaluationError("no such overload")


def index_any(container: Any, key: Any) -> Any:
    """`container[key]` where neither type is known: whole numbers of any type index a list."""
    if is_list(container):
        if type(key) in (int, UInt) or (type(key) is float and key.is_integer()):
            return index_list(container, int(key))
        if type(key) is float:
            raise EvaluationError(f"unsupported index value {key} in list")
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    if isinstance(container, Optional):
        return find(container, key)
    if is_map(container):
        return index_map(container, key)
    raise EvaluationError("no such overload")


OVERLOADS: list[Overload] = [
    function("optional.of", (_V,), _OPTIONAL, lambda value: Optional(value, True)),
    function(
        "optional.ofNonZeroValue",
        (_V,),
        _OPTIONAL,
        lambda value: NONE if _is_zero(value) else Optional(value, True),
    ),
    function("optional.none", (), _OPTIONAL, lambda: NONE),
    function(
        "optional.unwrap",
        (list_of(_OPTIONAL),),
        list_of(_V),
        lambda items: [i.value for i in items if i.present],
    ),
    method(
        "unwrapOpt", (list_of(_OPTIONAL),), list_of(_V), lambda items: [i.value for i in items if i.present]
    ),
    method("hasValue", (_OPTIONAL,), BOOL, lambda held: held.present),
    method("value", (_OPTIONAL,), _V, _value),
    method("or", (_OPTIONAL, _OPTIONAL), _OPTIONAL, lambda held, other: held if held.present else other),
    method("orValue", (_OPTIONAL, _V), _V, lambda held, other: held.value if held.present else other),
    function("_[?_]", (list_of(_V), INT), _OPTIONAL, find),
    function("_[?_]", (optional_of(list_of(_V)), INT), _OPTIONAL, find),
    function("_[?_]", (map_of(_K, _V), _K), _OPTIONAL, find),
    function("_[?_]", (optional_of(map_of(_K, _V)), _K), _OPTIONAL, find),
    function("_[_]", (optional_of(list_of(_V)), INT), _OPTIONAL, find),
    function("_[_]", (optional_of(map_of(_K, _V)), _K), _OPTIONAL, find),
    function("_?._", (DYN, DYN), optional_of(DYN), find),
]
