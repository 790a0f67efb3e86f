"""Leases: heartbeats of nodes and leaders."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .strategy import Strategy

_STRATEGIES = "OldestEmulationVersion"


class LeaseStrategy(Strategy):
    immutable_spec_generation = True
    allow_create_on_update = True
    unconditional_update = False

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj.get("spec") or {}
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            yield path.spec.leaseDurationSeconds.invalid(seconds, "must be greater than 0")
        if transitions is not None and transitions < 0:
            yield path.spec.leaseTransitions.invalid(transitions, "must be greater than or equal to 0")
        strategy, preferred = spec.get("strategy"), spec.get("preferredHolder")
        if preferred and not strategy:
            yield path.spec.preferredHolder.forbidden("may only be specified if `strategy` is defined")
        if strategy and strategy != _STRATEGIES:
            faults = names.qualified_name(strategy)
            for text in faults:
                yield path.spec.strategy.invalid(strategy, text)
