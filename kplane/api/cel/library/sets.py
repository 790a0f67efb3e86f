"""`sets.contains`, `sets.equivalent`, `sets.intersects`, as cel-go's `ext.Sets`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import charges
from ..overload import Overload, function
from ..types import BOOL, list_of, variable
from ..values import frozen

_LIST = list_of(variable("T"))


def _contains(items: Sequence[Any], part: Sequence[Any]) -> bool:
    return set(map(frozen, part)) <= set(map(frozen, items))


def _equivalent(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return set(map(frozen, left)) == set(map(frozen, right))


def _intersects(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return not set(map(frozen, left)).isdisjoint(map(frozen, right))


OVERLOADS: list[Overload] = [
    function("sets.contains", (_LIST, _LIST), BOOL, _contains, charges.pairs(1)),
    function("sets.equivalent", (_LIST, _LIST), BOOL, _equivalent, charges.pairs(2)),
    function("sets.intersects", (_LIST, _LIST), BOOL, _intersects, charges.pairs(1)),
]
