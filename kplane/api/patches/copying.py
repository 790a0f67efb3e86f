"""Copies of JSON values."""

from __future__ import annotations

from typing import Any


def duplicate(value: Any) -> Any:
    """A deep copy, an order of magnitude faster than `copy.deepcopy`, which knows of more than JSON."""
    if type(value) is dict:
        return {key: duplicate(item) for key, item in value.items()}
    if type(value) is list:
        return [duplicate(item) for item in value]
    return value


def without_nulls(value: Any) -> Any:
    """A deep copy without null members: in a patch they delete, and here there is nothing to delete."""
    if type(value) is dict:
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return duplicate(value)
