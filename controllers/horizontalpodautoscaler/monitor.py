"""Metrics of the autoscaler, under the names, labels and buckets of upstream's podautoscaler/monitor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from kplane.api.clock import Clock

_BUCKETS = tuple(0.001 * 2**power for power in range(15))
_BY = (
    "The label 'action' should be either 'scale_down', 'scale_up', or 'none'. "
    "{also}the label 'error' should be either 'spec', 'internal', or 'none'. "
)
_FIRST = (
    "Note that if both spec and internal errors happen during a reconciliation, the first one to occur is "
    "reported in `error` label."
)
_TYPE = "The label 'metric_type' corresponds to HPA.spec.metrics[*].type"

_LOOKS = Counter(
    "horizontal_pod_autoscaler_controller_reconciliations_total",
    f"Number of reconciliations of HPA controller. {_BY.format(also='Also, ')}{_FIRST}",
    ["action", "error"],
)
_LOOK_SECONDS = Histogram(
    "horizontal_pod_autoscaler_controller_reconciliation_duration_seconds",
    f"The time(seconds) that the HPA controller takes to reconcile once. {_BY.format(also='Also, ')}{_FIRST}",
    ["action", "error"],
    buckets=_BUCKETS,
)
_COMPUTATIONS = Counter(
    "horizontal_pod_autoscaler_controller_metric_computation_total",
    f"Number of metric computations. {_BY.format(also='Also, ')}{_TYPE}",
    ["action", "error", "metric_type"],
)
_COMPUTATION_SECONDS = Histogram(
    "horizontal_pod_autoscaler_controller_metric_computation_duration_seconds",
    f"The time(seconds) that the HPA controller takes to calculate one metric. {_BY.format(also='Also, ')}"
    f"{_TYPE}",
    ["action", "error", "metric_type"],
    buckets=_BUCKETS,
)


@dataclass
class Outcome:
    """What came of a look, or of one metric: the scale before and after, and whose fault a failure is."""

    before: int = 0
    after: int = 0
    error: str = "none"
    scaled: bool = False
    """Whether the scale was written, whatever failed beside it."""

    @property
    def action(self) -> str:
        if (self.error != "none" and not self.scaled) or self.before == self.after:
            return "none"
        return "scale_up" if self.after > self.before else "scale_down"


@contextmanager
def look(clock: Clock) -> Iterator[Outcome]:
    """Around one look at an autoscaler."""
    outcome, began = Outcome(), clock.monotonic()
    try:
        yield outcome
    finally:
        labels = outcome.action, outcome.error
        _LOOKS.labels(*labels).inc()
        _LOOK_SECONDS.labels(*labels).observe(clock.monotonic() - began)


@contextmanager
def computation(kind: str, clock: Clock) -> Iterator[Outcome]:
    """Around the computation of one metric of this type."""
    outcome, began = Outcome(), clock.monotonic()
    try:
        yield outcome
    finally:
        labels = outcome.action, outcome.error, kind
        _COMPUTATIONS.labels(*labels).inc()
        _COMPUTATION_SECONDS.labels(*labels).observe(clock.monotonic() - began)
