"""How much of a device may be asked for: the request policies of devices that are shared."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from kplane.api import quantity
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .entries import validate_set

_MAX_VALUES = 10
_LARGEST = 2**63 - 1
_MILLI = 1000


def validate_shared(capacity: Object, path: Path) -> Iterator[FieldError]:
    """A capacity of a device that may be allocated more than once."""
    policy, here = capacity.get("requestPolicy"), path.requestPolicy
    if policy is None:
        return
    values, span, default = policy.get("validValues") or [], policy.get("validRange"), policy.get("default")
    if values and span is not None:
        yield here.forbidden(
            'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same'
            " time"
        )
    elif values and default is None:
        yield here.default.required("required when validValues is defined")
    elif values:
        yield from _validate_values(values, default, capacity.get("value", "0"), here.validValues)
    elif span is not None and default is None:
        yield here.default.required("required when validRange is defined")
    elif span is not None:
        yield from _validate_range(span, default, capacity.get("value", "0"), here.validRange)


def validate_unshared(capacity: Object, path: Path) -> Iterator[FieldError]:
    if capacity.get("requestPolicy") is not None:
        yield path.requestPolicy.forbidden("allowMultipleAllocations must be true")


def _validate_values(values: list[str], default: str, whole: str, path: Path) -> Iterator[FieldError]:
    for index, (low, high) in enumerate(pairwise(values)):
        if quantity.compare(low, high) > 0:
            yield path[index + 1].invalid(high, "values must be sorted in ascending order")

    def check(value: str, here: Path) -> Iterator[FieldError]:
        if quantity.compare(value, whole) > 0:
            yield here.invalid(value, f"option is larger than capacity value: {whole}")

    yield from validate_set(values, _MAX_VALUES, check, _plain, path)
    if len(values) > _MAX_VALUES or all(quantity.compare(value, default) for value in values):
        yield path.invalid(default, "default value is not valid according to the requestPolicy")


def _plain(value: str) -> str:
    """A quantity without unit: `1Ki` and `1024` are one."""
    number = quantity.exact(value)
    return str(number.numerator) if number.denominator == 1 else str(float(number))


def _validate_range(span: Object, default: str, whole: str, path: Path) -> Iterator[FieldError]:
    least, most, step = span.get("min"), span.get("max"), span.get("step")
    if least is None:
        yield path.min.required("required when validRange is defined")
        return
    if quantity.compare(least, whole) > 0:
        yield path.min.invalid(least, f"min is larger than capacity value: {whole}")
    if quantity.compare(default, least) < 0:
        yield path.default.invalid(default, f"default is less than min: {least}")
    if most is not None:
        if quantity.compare(least, most) > 0:
            yield path.max.invalid(least, f"min is larger than max: {most}")
        if quantity.compare(most, whole) > 0:
            yield path.max.invalid(most, f"max is larger than capacity value: {whole}")
        if quantity.compare(default, most) > 0:
            yield path.default.invalid(default, f"default is more than max: {most}")
    given = {"default": default, "min": least, "max": most, "step": step}
    present = {name: value for name, value in given.items() if value is not None}
    fractional = any(quantity.exact(value).denominator != 1 for value in present.values())
    unfit = [
        path.child(name).invalid(value, "value cannot be represented as a milli value")
        for name, value in present.items()
        if fractional and not _fits_milli(value)
    ]
    yield from unfit
    if step is not None and not unfit:
        yield from _validate_steps(present, whole, fractional, path)


def _fits_milli(value: str) -> bool:
    exact = quantity.exact(value) * _MILLI
    return exact.denominator == 1 and abs(exact) <= _LARGEST


def _validate_steps(given: dict[str, str], whole: str, fractional: bool, path: Path) -> Iterator[FieldError]:
    step, least = given["step"], given["min"]
    if quantity.sign(step) <= 0:
        yield path.step.invalid(step, "must be greater than zero")
        return
    first = quantity.add(least, step)
    if quantity.compare(first, whole) > 0:
        yield path.step.invalid(step, f"one step {first} is larger than capacity value: {whole}")
    if not fractional:
        unfit = [fault for name, value in given.items() for fault in _validate_int64(value, path.child(name))]
        yield from unfit
        if unfit:
            return
    for name in ("default", "max"):
        if name in given and (quantity.exact(given[name]) - quantity.exact(least)) % quantity.exact(step):
            text = f"value is not a multiple of a given step ({step}) from ({least})"
            yield path.step.invalid(given[name], text)


def _validate_int64(value: str, path: Path) -> Iterator[FieldError]:
    if quantity.sign(value) < 0:
        yield path.invalid(value, "must be greater than or equal to 0")
    elif quantity.exact(value) > _LARGEST:
        yield path.invalid(value, f"must not be larger than {_LARGEST}")
