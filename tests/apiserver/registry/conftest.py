"""Strategies through their functions, in the order in which the generic registry calls them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest

from kplane.api.field import Path
from kplane.apiserver.registry import metadata
from kplane.apiserver.registry.strategies import STRATEGIES


@dataclass(frozen=True)
class Judge:
    """One kind's strategy at work; arguments stay as they are."""

    group: str
    plural: str

    def created(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The object as it would be stored."""
        new = copy.deepcopy(obj)
        new.setdefault("metadata", {}).setdefault("name", "x")
        strategy = STRATEGIES[self.group, self.plural]
        strategy.default(new)
        new["metadata"]["uid"] = "uid-1"
        strategy.prepare_create(new)
        again = copy.deepcopy(new)
        strategy.default(again)
        assert again == new, "defaulting twice is defaulting once"
        return new

    def faults(self, obj: dict[str, Any]) -> list[str]:
        """What creation would be refused for."""
        new = self.created(obj)
        strategy = STRATEGIES[self.group, self.plural]
        name = new["metadata"]["name"]
        named = [str(Path("metadata").name.invalid(name, text)) for text in strategy.name_rule(name)]
        return named + [str(fault) for fault in strategy.validate(new, Path())]

    def update_faults(self, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
        """What a change of the stored `old` into `new` would be refused for."""
        now, was = copy.deepcopy(new), copy.deepcopy(old)
        strategy = STRATEGIES[self.group, self.plural]
        strategy.default(now)
        strategy.prepare_update(now, was)
        meta = Path("metadata")
        return [
            str(fault)
            for fault in (
                *metadata.validate_update(now["metadata"], was["metadata"], meta),
                *strategy.validate_change(now, was, Path()),
                *strategy.validate_update(now, was, Path()),
            )
        ]

    def status_faults(self, new: dict[str, Any], old: dict[str, Any]) -> list[str]:
        strategy = STRATEGIES[self.group, self.plural]
        return [str(fault) for fault in strategy.validate_status(new, old, Path())]


@pytest.fixture
def judge() -> type[Judge]:
    return Judge
