"""No object that its schema allows can break a strategy, however odd."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from kplane.api import schema
from kplane.api.check import check
from kplane.api.field import Path
from kplane.api.schema import Node
from kplane.api.scheme import ResourceInfo, builtin
from kplane.apiserver.registry.strategies import STRATEGIES

ROUNDS = 25
DEPTH = 7
STRINGS = (
    "", "a", "A_b", "web:1", "10.0.0.1", "a/b/c", "25%", "Always", "None", "*", "é" * 70, "ClientIP",
    "RollingUpdate", "Localhost", "In", "ExternalName", "LoadBalancer", "Indexed", "..", "Exists",
)  # fmt: skip
INTEGERS = (-1, 0, 1, 80, 70_000, 2**31 - 1)
QUANTITIES = ("0", "-1", "500m", "1Gi", "1e3")

ROWS = [row for row in builtin().rows.values() if (row.group, row.plural) in STRATEGIES]


def some(node: Node, rng: random.Random, depth: int) -> Any:
    """A random value of the schema, checked ones only: what reaches a strategy."""
    match node.kind:
        case "object":
            fields = node.fields or {}
            chance = 1.0 if depth == DEPTH else 0.6
            wanted = [name for name in fields if depth > 0 and rng.random() < chance]
            return {name: some(fields[name], rng, depth - 1) for name in wanted}
        case "map" if node.item is not None:
            return {rng.choice(STRINGS): some(node.item, rng, depth - 1) for _ in range(rng.randrange(3))}
        case "list" if node.item is not None:
            return [some(node.item, rng, depth - 1) for _ in range(rng.randrange(3))] if depth > 0 else []
        case "integer":
            return rng.choice(INTEGERS)
        case "number":
            return 1.5
        case "boolean":
            return rng.random() < 0.5
        case "quantity":
            return rng.choice(QUANTITIES)
        case "int-or-string":
            return rng.choice((*STRINGS, *INTEGERS))
        case "date-time":
            return "2026-01-01T00:00:00Z"
        case "bytes":
            return rng.choice(("", "YQ==", "e30="))
        case "string":
            return rng.choice(STRINGS)
    return {"any": "thing"}


def make(row: ResourceInfo, rng: random.Random) -> dict[str, Any]:
    node = schema.node(row.definition)
    obj: dict[str, Any] = some(node, rng, DEPTH)
    assert check(obj, node).errors == []
    obj |= {"kind": row.kind, "apiVersion": row.api_version}
    obj["metadata"] = {**obj.get("metadata", {}), "name": rng.choice(STRINGS), "uid": "u"}
    return obj


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}/{row.version}/{row.plural}")
def test_any_object_is_stored_or_refused(row: ResourceInfo) -> None:
    strategy = STRATEGIES[row.group, row.plural]
    rng = random.Random(row.plural)
    node = schema.node(row.definition)
    for _ in range(ROUNDS):
        obj, old = make(row, rng), make(row, rng)
        for entry in (obj, old):
            strategy.default(entry)
            strategy.prepare_create(entry)
        assert check(copy.deepcopy(obj), node).unknown == [], "defaults are fields of the schema"
        new, before = copy.deepcopy(obj), copy.deepcopy(obj)
        strategy.prepare_update(new, old)
        strategy.prepare_status(new, old)
        faults = [
            *strategy.validate(obj, Path()),
            *strategy.validate_update(new, old, Path()),
            *strategy.validate_status(new, old, Path()),
        ]
        assert all(str(fault) for fault in faults)
        assert obj == before, "validation changes nothing"
        strategy.grace_period(obj, None)
        strategy.mark_deleting(copy.deepcopy(obj))
        assert all(isinstance(value, str) for value in strategy.fields(obj).values())
        assert all(isinstance(text, str) for text in strategy.warnings(obj))
