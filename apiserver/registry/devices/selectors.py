"""Which devices are meant, in CEL: `device.driver == "gpu.example.com" && device.attributes[…].…`.

Expressions are compiled when they are written, to refuse those that are wrong or could cost too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from kplane.api.cel import BOOL, DYN, STRING, CelError, Environment, Field, Type, map_of, object_of
from kplane.api.cel.named import QUANTITY
from kplane.api.cel.types import Structure
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .entries import validate_list

MAX_SELECTORS = 32
_MAX_LENGTH = 10 * 1024
_MAX_COST = 1_000_000
_MAX_ENTRIES = 32
_TOO_COMPLEX = "too complex, exceeds cost limit"

_DOMAIN, _IDENTIFIER, _DRIVER = STRING.sized(63, 2), STRING.sized(32, 2), STRING.sized(63, 2)
_ATTRIBUTE = DYN.sized(64)


def _by_domain(kind: Type) -> Type:
    entries = map_of(_IDENTIFIER, kind, _MAX_ENTRIES)
    # Whatever its name is, an entry is no larger than its type says.
    named = replace(entries, structure=Structure(lambda name: Field(kind, name)))
    return map_of(_DOMAIN, named, _MAX_ENTRIES)


DEVICE = object_of(
    "kubernetes.DRADevice",
    {
        "driver": _DRIVER,
        "attributes": _by_domain(_ATTRIBUTE),
        "capacity": _by_domain(QUANTITY),
        "allowMultipleAllocations": BOOL,
    },
)
_ENVIRONMENT = Environment({"device": DEVICE})


def validate_selectors(selectors: list[Object], path: Path) -> Iterator[FieldError]:
    yield from validate_list(selectors, MAX_SELECTORS, _validate_selector, path)


def _validate_selector(selector: Object, path: Path) -> Iterator[FieldError]:
    cel = selector.get("cel")
    if cel is None:
        yield path.cel.required()
        return
    expression, here = cel.get("expression", ""), path.cel.expression
    if len(expression.encode()) > _MAX_LENGTH:
        yield here.too_long(_MAX_LENGTH)
        return
    fault, cost = _judged(expression)
    if fault:
        yield here.invalid(expression, fault)
    elif cost > _MAX_COST:
        yield here.forbidden(_TOO_COMPLEX)


@lru_cache(maxsize=512)
def _judged(expression: str) -> tuple[str, int]:
    """What is wrong with an expression, and what it can cost if nothing is."""
    try:
        program = _ENVIRONMENT.compile(expression, expected=None)
    except CelError as error:
        return f"compilation failed: {error}", 0
    if program.type.kind not in ("bool", "dyn"):
        return f"must evaluate to bool or the unknown type, not {program.type}", 0
    return "", program.estimate().most
