"""Leases: heartbeats of nodes and leaders."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .strategy import Strategy

_STRATEGIES = ("OldestEmulationVersion",)


class LeaseStrategy(Strategy):
    immutable_spec_generation = True
    allow_create_on_update = True
    unconditional_update = False

    def prepare_create(self, obj: Object) -> None:
        _drop_coordination(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        if (old.get("spec") or {}).get("strategy") is None:
            _drop_coordination(new)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj.get("spec") or {}
        seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if seconds is not None and seconds <= 0:
            yield path.spec.leaseDurationSeconds.invalid(seconds, "must be greater than 0")
        if transitions is not None and transitions < 0:
            yield path.spec.leaseTransitions.invalid(transitions, "must be greater than or equal to 0")
        if "strategy" in spec or "preferredHolder" in spec:
            yield from _validate_coordination(spec, path.spec)


def _drop_coordination(obj: Object) -> None:
    """Upstream's CoordinatedLeaderElection is off by default; what needs it is not stored."""
    if spec := obj.get("spec"):
        spec.pop("strategy", None)
        spec.pop("preferredHolder", None)


def _validate_coordination(spec: Object, path: Path) -> Iterator[FieldError]:
    strategy = spec.get("strategy")
    if strategy is not None:
        # Upstream says the field twice.
        here = path.strategy.strategy
        if "/" in strategy:
            for text in names.qualified_name(strategy):
                yield here.invalid(strategy, text)
        elif strategy not in _STRATEGIES:
            yield here.not_supported(strategy, _STRATEGIES)
    if spec.get("preferredHolder") and not strategy:
        yield path.preferredHolder.forbidden("may only be specified if `strategy` is defined")
