"""Arithmetic on resource lists: mappings from a resource's name to a quantity.

Rules: apiserver `quota/v1/resources.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from kplane.api import quantity
from kplane.api.quantity import Wire

Amounts: TypeAlias = Mapping[str, Wire]


def added(left: Amounts, right: Amounts) -> dict[str, Wire]:
    total = dict(left)
    for name, amount in right.items():
        total[name] = quantity.add(total[name], amount) if name in total else amount
    return total


def increase(new: Amounts, old: Amounts) -> dict[str, Wire]:
    """By how much `new` is more; nothing is ever less than zero."""
    more: dict[str, Wire] = {}
    for name, amount in new.items():
        difference = quantity.subtract(amount, old.get(name, "0"))
        more[name] = difference if quantity.sign(difference) > 0 else "0"
    return more


def largest(left: Amounts, right: Amounts) -> dict[str, Wire]:
    most = dict(left)
    for name, amount in right.items():
        if name not in most or quantity.compare(amount, most[name]) > 0:
            most[name] = amount
    return most


def masked(amounts: Amounts, names: Iterable[str]) -> dict[str, Wire]:
    """Only the resources of these names."""
    wanted = set(names)
    return {name: amount for name, amount in amounts.items() if name in wanted}


def without_zeros(amounts: Amounts) -> dict[str, Wire]:
    return {name: amount for name, amount in amounts.items() if quantity.sign(amount)}


def negative(amounts: Amounts) -> list[str]:
    return sorted(name for name, amount in amounts.items() if quantity.sign(amount) < 0)


def exceeding(amounts: Amounts, limits: Amounts) -> list[str]:
    """The resources of which there is more than the limits allow."""
    return [
        name
        for name, amount in amounts.items()
        if name in limits and quantity.compare(amount, limits[name]) > 0
    ]


def same(left: Amounts, right: Amounts) -> bool:
    return left.keys() == right.keys() and all(
        quantity.compare(amount, right[name]) == 0 for name, amount in left.items()
    )


def shown(amounts: Amounts) -> str:
    """`cpu=100m,pods=1`, by name."""
    return ",".join(f"{name}={quantity.canonical(amount)}" for name, amount in sorted(amounts.items()))
