"""The aggregator's metrics, under upstream's names and labels.

A collector of its own: the client library does not let a gauge and a counter differ by `_total` alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .conditions import Verdict

NAME = "aggregator_unavailable_apiservice"


class AvailabilityMetrics(Collector):
    """Which APIServices are unavailable, and how often they became so, for which reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._unavailable: dict[str, bool] = {}
        self._reasons: dict[str, str] = {}
        self._turns: dict[tuple[str, str], int] = {}
        registry.register(self)

    def seen(self, name: str, verdict: Verdict) -> None:
        """What a look at an APIService said."""
        unavailable = verdict.status != "True"
        if unavailable and self._reasons.get(name) != verdict.reason:
            turn = name, verdict.reason
            self._turns[turn] = self._turns.get(turn, 0) + 1
        self._unavailable[name], self._reasons[name] = unavailable, verdict.reason

    def forget(self, name: str) -> None:
        self._unavailable.pop(name, None)
        self._reasons.pop(name, None)
        self._turns = {turn: count for turn, count in self._turns.items() if turn[0] != name}

    def collect(self) -> Iterator[Metric]:
        gauge = GaugeMetricFamily(
            NAME,
            "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
            labels=("name",),
        )
        for name, unavailable in self._unavailable.items():
            gauge.add_metric((name,), float(unavailable))
        yield gauge
        counter = CounterMetricFamily(
            NAME,
            "Counter of APIServices which are marked as unavailable broken down by APIService name "
            "and reason.",
            labels=("name", "reason"),
        )
        for turn, count in self._turns.items():
            counter.add_metric(turn, count)
        yield counter
