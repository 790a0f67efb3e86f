"""Flow control's metrics, under upstream's names; read from its plain numbers when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ..measuring import Series
from .control import FlowControl
from .counts import Counts
from .flows import Level

_PREFIX = "apiserver_flowcontrol_"
_FLOW = ("priority_level", "flow_schema")
_INQUEUE = "currently pending in queues of the API Priority and Fairness subsystem"
_INITIAL = "initial (for a WATCH) or any (for a non-WATCH)"

_GAUGES: Mapping[str, tuple[str, str]] = {
    "current_inqueue_requests": ("queued_now", f"Number of requests {_INQUEUE}"),
    "current_inqueue_seats": ("queued_seats", f"Number of seats {_INQUEUE}"),
    "current_executing_requests": (
        "running",
        f"Number of requests in {_INITIAL} execution stage in the API Priority and Fairness subsystem",
    ),
    "current_executing_seats": (
        "seats",
        "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any "
        "stage otherwise) requests in the API Priority and Fairness subsystem",
    ),
}
_COUNTERS: Mapping[str, tuple[str, str]] = {
    "dispatched_requests": (
        "dispatched", "Number of requests executed by API Priority and Fairness subsystem",
    ),
    "request_dispatch_no_accommodation": (
        "unaccommodated",
        "Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats",
    ),
}  # fmt: skip
_HISTOGRAMS: Mapping[str, tuple[str, str]] = {
    "request_queue_length_after_enqueue": (
        "lengths",
        "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is "
        "enqueued",
    ),
    "work_estimated_seats": (
        "estimated",
        "Number of estimated seats (maximum of initial and final seats) associated with requests in API "
        "Priority and Fairness",
    ),
    "watch_count_samples": (
        "watches", "count of watchers for mutating requests in API Priority and Fairness",
    ),
}  # fmt: skip
_SPLIT: Mapping[str, tuple[str, str, str]] = {
    "request_wait_duration_seconds": (
        "waited", "execute", "Length of time a request spent waiting in its queue",
    ),
    "request_execution_seconds": (
        "execution", "type",
        f"Duration of {_INITIAL} stage of request execution in the API Priority and Fairness subsystem",
    ),
}  # fmt: skip
_SEATS_OF_LEVELS = "number of execution seats available to each priority level"
_PERIOD = "over last adjustment period, of demand_seats"
_LEVELS: Mapping[str, tuple[str, str]] = {
    "nominal_limit_seats": (
        "nominal",
        "Nominal number of execution seats configured for each priority level",
    ),
    "lower_limit_seats": ("lower", f"Configured lower bound on {_SEATS_OF_LEVELS}"),
    "upper_limit_seats": ("upper", f"Configured upper bound on {_SEATS_OF_LEVELS}"),
    "current_limit_seats": ("current", f"current derived {_SEATS_OF_LEVELS}"),
    "target_seats": ("target", "Seat allocation targets"),
    "demand_seats_high_watermark": ("demand.highest", f"High watermark, {_PERIOD}"),
    "demand_seats_average": ("demand.average", f"Time-weighted average, {_PERIOD}"),
    "demand_seats_stdev": ("demand.deviation", f"Time-weighted standard deviation, {_PERIOD}"),
    "demand_seats_smoothed": ("demand.smoothed", "Smoothed seat demands"),
    "current_r": ("queues.r", "R(time of last change)"),
    "dispatch_r": ("queues.dispatched_r", "R(time of last dispatch)"),
}


class FlowMetrics(Collector):
    def __init__(self, control: FlowControl, registry: CollectorRegistry) -> None:
        self._control = control
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        # Nothing yet has labels: this names the families, so that no two collectors have the same.
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        yield from self._of_levels()
        counts = self._control.counts
        for name, (field, text) in _GAUGES.items():
            yield _family(GaugeMetricFamily, name, text, counts, attrgetter(field))
        for name, (field, text) in _COUNTERS.items():
            yield _family(CounterMetricFamily, name, text, counts, attrgetter(field))
        yield self._refused()
        for name, (field, text) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(_PREFIX + name, text, labels=_FLOW)
            for labels, each in counts.items():
                _add(histogram, labels, getattr(each, field))
            yield histogram
        for name, (field, label, text) in _SPLIT.items():
            histogram = HistogramMetricFamily(_PREFIX + name, text, labels=(*_FLOW, label))
            for labels, each in counts.items():
                for value, series in getattr(each, field).items():
                    _add(histogram, (*labels, value), series)
            yield histogram

    def _of_levels(self) -> Iterator[Metric]:
        levels: Mapping[str, Level] = self._control.levels
        for name, (field, text) in _LEVELS.items():
            gauge = GaugeMetricFamily(_PREFIX + name, text, labels=("priority_level",))
            value = attrgetter(field)
            for level, state in levels.items():
                gauge.add_metric((level,), float(value(state)))
            yield gauge
        text = "Fair fraction of server's concurrency to allocate to each priority level that can use it"
        yield GaugeMetricFamily(f"{_PREFIX}seat_fair_frac", text, value=self._control.fraction)

    def _refused(self) -> Metric:
        text = "Number of requests rejected by API Priority and Fairness subsystem"
        family = CounterMetricFamily(f"{_PREFIX}rejected_requests", text, labels=(*_FLOW, "reason"))
        for labels, each in self._control.counts.items():
            for reason, count in each.refused.items():
                family.add_metric((*labels, reason), float(count))
        return family


def _family(
    make: Any, name: str, text: str, counts: Mapping[tuple[str, str], Counts], value: Callable[[Any], Any]
) -> Metric:
    family: Metric = make(_PREFIX + name, text, labels=_FLOW)
    for labels, each in counts.items():
        family.add_metric(labels, float(value(each)))  # type: ignore[attr-defined]
    return family


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], series: Series) -> None:
    """Series that nothing was observed in are left out."""
    if any(series.counts):
        family.add_metric(labels, list(series.buckets()), series.sum)
