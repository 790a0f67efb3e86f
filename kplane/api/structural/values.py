"""The checks of one value by itself: its JSON type, numbers, strings, formats, enumerations.

Rules: kube-openapi `validation/validate`, type.go, validator.go, values.go. Where upstream is lenient (a list
passes for a string that has a format), so is this.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from kplane.api.field import Path
from kplane.api.structural.faults import Faults, Place, go_number, invalid, name_of, not_in_enum, type_invalid
from kplane.api.structural.formats import accepts
from kplane.api.structural.patterns import PatternError, compiled, matches
from kplane.api.structural.spec import Schema, SchemaError, Spec

Check: TypeAlias = Callable[[Any, Place, Faults], None]
Fast: TypeAlias = Callable[[Any], bool]

_LARGEST_SAFE = float(2**53 - 1)
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
}


def plain_types(spec: Spec) -> frozenset[type]:
    """The Python types that need no closer look to pass the type check."""
    found = {kind for name in spec.types for kind in _PYTHON_TYPES.get(name, ())}
    return frozenset(found) if spec.types else frozenset((dict, list, str, bool, int, float))


def json_type(value: Any) -> tuple[str, str]:
    """A value's JSON type, and the format of Go's type for it."""
    match value:
        case bool():
            return "boolean", ""
        case str():
            return "string", ""
        case int() if -(2**63) <= value < 2**63:
            return "integer", "int64"
        case int() | float():
            return "number", "float64"
        case dict():
            return "object", ""
    return "array", ""


def is_integral(value: float) -> bool:
    """Whether a float counts as an integer; the tolerance is upstream's."""
    if not math.isfinite(value) or abs(value) > _LARGEST_SAFE:
        return False
    return value == math.trunc(value) or abs(value - round(value)) < 1e-9 * 2 * abs(value)


def compile_type(spec: Spec) -> Check | None:
    types, form, nullable = spec.types, spec.format, spec.nullable
    if not types and not form:
        return None
    numeric = "number" in types or "integer" in types
    wanted = ",".join(types)

    def check(value: Any, place: Place, faults: Faults) -> None:
        if value is None:
            if types and not nullable:
                type_invalid(faults, place, "null", wanted)
            return
        kind, go_format = json_type(value)
        fits = kind in types or (kind == "integer" and "number" in types)
        if kind == "number" and "integer" in types:
            fits = fits or is_integral(float(value))
        textual = kind in ("string", "array")
        if form and not textual and not fits and go_format != form:
            type_invalid(faults, place, go_format, form)
        elif not fits and not (form and textual and not numeric):
            type_invalid(faults, place, kind, wanted)

    return check


def compile_string(spec: Spec) -> Check | None:
    """Length, then pattern: the first fault only, as upstream."""
    schema = spec.raw
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is None and shortest is None and not pattern:
        return None
    try:
        compiled(pattern or "")
    except PatternError as error:
        raise SchemaError(f"OpenAPIV3Schema 'pattern' is invalid: {error}") from error

    def check(value: str, place: Place, faults: Faults) -> None:
        size = len(value)
        if longest is not None and size > longest:
            faults.append(Path(name_of(place)).too_long(longest))
        elif shortest is not None and size < shortest:
            invalid(faults, place, value, f"should be at least {shortest} chars long")
        elif pattern and not matches(pattern, value):
            invalid(faults, place, value, f"should match '{pattern}'")

    return check


def compile_format(spec: Spec) -> Check | None:
    form = spec.format
    if not form or form in ("int32", "int64", "float", "double"):
        return None

    def check(value: str, place: Place, faults: Faults) -> None:
        if not accepts(form, value):
            type_invalid(faults, place, value, form)

    return check


def compile_fast(spec: Spec) -> Fast | None:
    """A quick way to see that a scalar is sound; None if there is none. A false "no" costs only time."""
    if spec.all_of or spec.any_of or spec.one_of or spec.negated is not None:
        return None
    match spec.types:
        case ("string",):
            return _fast_string(spec)
        case ("integer",) | ("number",) | ("integer", "string"):
            return _fast_number(spec)
    return None


def _fast_string(spec: Spec) -> Fast | None:
    schema, form = spec.raw, spec.format
    shortest, longest = schema.get("minLength") or 0, schema.get("maxLength", sys.maxsize)
    pattern, allowed = schema.get("pattern"), schema.get("enum")
    texts = frozenset(value for value in allowed if isinstance(value, str)) if allowed else None
    longest = sys.maxsize if longest is None else longest

    def fast(value: Any) -> bool:
        return (
            type(value) is str
            and shortest <= len(value) <= longest
            and (not pattern or matches(pattern, value))
            and (not form or accepts(form, value))
            and (texts is None or value in texts)
        )

    return fast


def _fast_number(spec: Spec) -> Fast | None:
    schema = spec.raw
    if schema.get("enum") or schema.get("multipleOf") or (spec.format and spec.int_or_string):
        return None
    least, most = schema.get("minimum"), schema.get("maximum")
    # Go cuts the limits to whole numbers for whole values: leave fractions to the slow way.
    if any(limit is not None and limit != math.trunc(limit) for limit in (least, most)):
        return None
    low = max(-(2**63), least) if least is not None else -(2**63)
    high = min(2**63 - 1, most) if most is not None else 2**63 - 1
    strict = bool(schema.get("exclusiveMinimum") or schema.get("exclusiveMaximum"))
    kinds = frozenset((int, float) if spec.type == "number" else (int,))

    def fast(value: Any) -> bool:
        return type(value) in kinds and (low < value < high if strict else low <= value <= high)

    return fast


def compile_number(spec: Spec) -> Check | None:
    schema = spec.raw
    checks = [make(schema) for make in (_multiple, _minimum, _maximum)]
    present = [check for check in checks if check is not None]
    if not present:
        return None

    def check(value: Any, place: Place, faults: Faults) -> None:
        for each in present:
            each(value, place, faults)

    return check


def _native(limit: float, value: float) -> float:
    """A limit as Go converts it to the value's own type."""
    return math.trunc(limit) if isinstance(value, int) and math.isfinite(limit) else limit


def _maximum(schema: Schema) -> Check | None:
    limit, exclusive = schema.get("maximum"), schema.get("exclusiveMaximum")
    if limit is None:
        return None

    def check(value: float, place: Place, faults: Faults) -> None:
        most = _native(limit, value)
        if value > most or (exclusive and value == most):
            invalid(
                faults,
                place,
                value,
                f"should be less than {'' if exclusive else 'or equal to '}{go_number(most)}",
            )

    return check


def _minimum(schema: Schema) -> Check | None:
    limit, exclusive = schema.get("minimum"), schema.get("exclusiveMinimum")
    if limit is None:
        return None

    def check(value: float, place: Place, faults: Faults) -> None:
        least = _native(limit, value)
        if value < least or (exclusive and value == least):
            words = f"should be greater than {'' if exclusive else 'or equal to '}{go_number(least)}"
            invalid(faults, place, value, words)

    return check


def _multiple(schema: Schema) -> Check | None:
    factor = schema.get("multipleOf")
    if not factor:
        return None

    def check(value: float, place: Place, faults: Faults) -> None:
        if not _is_multiple(value, factor):
            invalid(faults, place, value, f"should be a multiple of {go_number(factor)}")

    return check


def _is_multiple(value: float, factor: float) -> bool:
    whole = math.trunc(factor)
    if isinstance(value, int) and whole:
        return value % whole == 0
    try:
        return is_integral(1 / factor * value if factor < 1 else value / factor)
    except OverflowError:
        return False


def compile_enum(spec: Spec) -> Check | None:
    values = spec.raw.get("enum")
    if not values:
        return None
    texts = frozenset(value for value in values if isinstance(value, str))
    others = {_canonical(value) for value in values if value is not None and not isinstance(value, str)}
    shown = [value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values]

    def check(value: Any, place: Place, faults: Faults) -> None:
        found = value in texts if type(value) is str else bool(others) and _canonical(value) in others
        if not found:
            not_in_enum(faults, place, value, shown)

    return check


def _canonical(value: Any) -> bytes:
    """The same bytes for equal values: 1 and 1.0 are equal, 1 and true are not, keys have no order."""
    if type(value) is float and math.isfinite(value) and value == int(value):
        value = int(value)
    return msgspec.json.encode(value, order="sorted")
