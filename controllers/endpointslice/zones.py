"""Zones: how many endpoints each should have hints for, by the share of CPU of its nodes. No I/O.

Rules: KEP-2433 and upstream's `topologycache`. Elsewhere: how hints get into slices (hints.py).

Invariant: a zone is never left with so few endpoints that each bears over 20 % more than its fair part.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kplane.api.quantity import QuantityError, milli
from kplane.api.types import Node

from ..nodes import is_ready
from .endpoints import ZONE_LABEL

OVERLOAD = 0.2
_LEAST = 1 / (1 + OVERLOAD)
_EXCLUDED = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})

INSUFFICIENT_NODES = (
    "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
)
INSUFFICIENT_ENDPOINTS = "Insufficient number of endpoints"
OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"

Shares: TypeAlias = Mapping[str, float]
"""Zone -> its part of all CPU; the parts add up to 1."""


@dataclass(frozen=True)
class Allocation:
    """Of one zone, in endpoints."""

    minimum: int
    maximum: int
    desired: float


def weight(node: Node) -> tuple[str, int] | None:
    """The zone and the milli-CPUs of a node that takes traffic; None for one that does not count."""
    labels = node.metadata.labels
    if _EXCLUDED & labels.keys() or not is_ready(node):
        return None
    try:
        amount = milli(node.status.allocatable.get("cpu", "0"))
    except QuantityError:
        amount = 0  # The same as a node that does not tell.
    return labels.get(ZONE_LABEL, ""), max(amount, 0)


def shares(nodes: Iterable[Node]) -> dict[str, float] | None:
    """None where a node does not tell its zone or CPU, and where all are in one zone."""
    cpu: Counter[str] = Counter()
    for node in nodes:
        if (weighed := weight(node)) is None:
            continue
        zone, amount = weighed
        if not zone or not amount:
            return None
        cpu[zone] += amount
    return {zone: amount / cpu.total() for zone, amount in sorted(cpu.items())} if len(cpu) > 1 else None


def allocate(parts: Shares | None, endpoints: int) -> Mapping[str, Allocation] | str:
    """Share out so many ready endpoints, or say why that cannot be done."""
    if parts is None:
        return INSUFFICIENT_NODES
    size = f"({endpoints} endpoints, {len(parts)} zones)"
    if len(parts) > endpoints:
        return f"{INSUFFICIENT_ENDPOINTS} {size}"
    least = {zone: math.ceil(part * endpoints * _LEAST) for zone, part in parts.items()}
    spare = endpoints - sum(least.values())
    if spare < 0:
        return f"{OVERLOADED} {size}"
    return {
        zone: Allocation(least[zone], least[zone] + spare, max(part * endpoints, float(least[zone])))
        for zone, part in parts.items()
    }


def overloaded(allocated: Mapping[str, int], parts: Shares | None) -> bool:
    """Whether a zone has too few of a Service's hints, now that the nodes are as they are."""
    if not allocated:
        return False
    if not parts:
        return True
    total = sum(allocated.values())
    return any(
        zone not in allocated or allocated[zone] < math.ceil(total * part * _LEAST)
        for zone, part in parts.items()
    )


def transfers(
    allocations: Mapping[str, Allocation], allocated: Mapping[str, int]
) -> tuple[Counter[str], Counter[str]]:
    """How many endpoints zones give to others, and how many zones get: as few as make a difference."""
    surplus = {zone: allocated.get(zone, 0) - entry.desired for zone, entry in allocations.items()}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while True:
        giver, taker = max(surplus, key=surplus.__getitem__), min(surplus, key=surplus.__getitem__)
        over, under = surplus[giver], -surplus[taker]
        # Half an endpoint is not worth a change, and neither are two zones that are less than one off.
        if min(over, under) < 0.5 or max(over, under) < 1.0:
            return giving, receiving
        giving[giver] += 1
        receiving[taker] += 1
        surplus[giver] -= 1
        surplus[taker] += 1
