"""What a walk over a value finds: faults, with the places where they are, worded as kube-openapi words them.

A place is a chain of steps that is only put together for a fault. Rules: kube-openapi `validation/errors` and
apiextensions' translation of them into field errors.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from kplane.api.field import FieldError, Path

Place: TypeAlias = "tuple[Any, str] | None"
"""(the place of the parent, the step from it: `.name` or `[0]`); None for the root."""

NOWHERE = Path()
"""Where faults of quantifiers are reported, which have no field upstream."""


MOST_FAULTS = 1000
"""More of one object are not looked for: a million wrong items need not be told in a million lines."""


class Faults(list[FieldError]):
    """The faults of one walk, and what it already knows of its comparison with the old value."""

    __slots__ = ("same",)

    def __init__(self) -> None:
        super().__init__()
        self.same: dict[tuple[int, int], bool] = {}


def name_of(place: Place) -> str:
    """`spec.containers[0].image`; empty for the root."""
    steps = []
    while place is not None:
        place, step = place
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")


def invalid(faults: Faults, place: Place, value: Any, rule: str) -> None:
    """`rule` follows the field's name: `should be at least 3 chars long`."""
    name = name_of(place)
    faults.append(_invalid(Path(name), value, f"{name} in body {rule}"))


def type_invalid(faults: Faults, place: Place, value: str, wanted: str) -> None:
    name = name_of(place)
    detail = f"{name} in body must be of type {wanted}: {go_quoted(value)}"
    faults.append(Path(name).type_invalid(value, detail))


def composite(faults: Faults, place: Place, rule: str) -> None:
    """`rule` of a quantifier, after the quoted name."""
    faults.append(NOWHERE.invalid("", f'"{name_of(place)}" {rule}'))


def not_in_enum(faults: Faults, place: Place, value: Any, allowed: list[str]) -> None:
    # Upstream prints a null as the string.
    faults.append(Path(name_of(place)).not_supported("null" if value is None else value, allowed))


def _invalid(path: Path, value: Any, detail: str) -> FieldError:
    if type(value) is float:
        return FieldError(str(path), "FieldValueInvalid", f"Invalid value: {go_number(value)}: {detail}")
    return path.invalid(value, detail)


def go_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def go_number(value: float) -> str:
    """A number as Go's %v prints it."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, found, exponent = repr(value).partition("e")
    if not found:
        return mantissa
    sign, digits = ("-", exponent[1:]) if exponent[0] == "-" else ("+", exponent.lstrip("+"))
    return f"{mantissa.removesuffix('.0')}e{sign}{digits:0>2}"
