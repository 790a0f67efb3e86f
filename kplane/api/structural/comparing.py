"""Whether a value is what it was: what ratcheting asks before it reports a fault.

Rules: apiserver `cel/common/equality.go`. Items of associative lists are compared by their keys, of sets and
atomic lists as a whole, of other lists by position; an object that holds fields without a schema is never
known to be the same.

Invariant: a walk compares each pair of values at most once, so that all comparisons take linear time.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from kplane.api.structural.spec import Spec

Memo: TypeAlias = dict[tuple[int, int], bool]


class _Absent:
    """There is no old value to compare with."""


ABSENT: Final = _Absent()


def is_same(spec: Spec, new: Any, old: Any, memo: Memo) -> bool:
    if type(new) is not type(old):
        return False
    key = (id(new), id(old))
    if key in memo:
        return memo[key]
    if isinstance(new, dict):
        memo[key] = _same_dict(spec, new, old, memo)
    elif isinstance(new, list):
        memo[key] = _same_list(spec, new, old, memo)
    else:
        return bool(new == old)
    return memo[key]


def _same_dict(spec: Spec, new: dict[str, Any], old: dict[str, Any], memo: Memo) -> bool:
    if len(new) != len(old):
        return False
    for key, value in old.items():
        child = spec.child(key)
        if child is None or key not in new or not is_same(child, new[key], value, memo):
            return False
    return True


def _same_list(spec: Spec, new: list[Any], old: list[Any], memo: Memo) -> bool:
    if len(new) != len(old):
        return False
    items = spec.items
    if items is None or spec.list_type in ("set", "atomic"):
        return identical(new, old)
    if spec.list_type != "map":
        return all(is_same(items, value, was, memo) for value, was in zip(new, old, strict=True))
    keyed = by_keys(spec, old)
    return all(is_same(items, value, keyed.get(keys_of(spec, value)), memo) for value in new)


def identical(new: Any, old: Any) -> bool:
    """Equal in value and type: 1, 1.0 and true are three values."""
    if type(new) is not type(old):
        return False
    if type(new) is dict:
        return len(new) == len(old) and all(
            key in old and identical(value, old[key]) for key, value in new.items()
        )
    if type(new) is list:
        return len(new) == len(old) and all(map(identical, new, old))
    return bool(new == old)


def correlated_items(spec: Spec, new: list[Any], old: Any) -> list[Any]:
    """For each item its old value, or ABSENT."""
    if type(old) is not list or spec.list_type in ("set", "atomic"):
        return [ABSENT] * len(new)
    if spec.list_type == "map":
        keyed = by_keys(spec, old)
        return [keyed.get(keys_of(spec, value), ABSENT) for value in new]
    return [*old[: len(new)], *[ABSENT] * (len(new) - len(old))]


def by_keys(spec: Spec, items: list[Any]) -> dict[Any, Any]:
    """The items of an associative list by their keys; of several with the same keys the first."""
    found: dict[Any, Any] = {}
    for item in items:
        if type(item) is dict:
            found.setdefault(keys_of(spec, item), item)
    return found


def keys_of(spec: Spec, item: Any) -> Any:
    """A hashable value of an item's keys; None for what is not an object."""
    if type(item) is not dict:
        return None
    return tuple(_hashable(item.get(key, ABSENT)) for key in spec.list_keys)


def _hashable(value: Any) -> Any:
    # 1, 1.0 and True are one key to Python's dicts.
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value, order="sorted")
    return (type(value), value)
