"""Faults that many kinds share: fields that may not change, numbers that may not be negative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"


def unchanged(new: Any, old: Any, path: Path) -> Iterator[FieldError]:
    """A field that may not change."""
    if new != old:
        yield path.invalid(new, IMMUTABLE)


def unsaid(path: Path, detail: str) -> FieldError:
    """An invalid value that is not worth showing."""
    return FieldError(str(path), "FieldValueInvalid", f"Invalid value: {detail}")


def not_fewer(name: str, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """A count of a status that only grows, e.g. `collisionCount`."""
    now, was = new.get(name, 0), old.get(name, 0)
    if now < was:
        yield path.child(name).invalid(now, "cannot be decremented")


def non_negative(obj: Object, path: Path, *names: str) -> Iterator[FieldError]:
    """Integer fields of `obj`, absent or at least 0."""
    for name in names:
        value = obj.get(name)
        if value is not None and value < 0:
            yield path.child(name).invalid(value, NEGATIVE)
