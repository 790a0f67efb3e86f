"""Metrics that cost next to nothing to feed: a request feeds dozens of them.

A series is a number, or a list of counts; what Prometheus reads is made of them when it asks. Everything
happens on the one event loop, so there are no locks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
"""Upstream's buckets for requests, to the API and to the store."""


class Tally:
    """One number: so many of something, since the start or now."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Series:
    """One combination of labels."""

    __slots__ = ("_bounds", "counts", "instant", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """How many observations fell into each bucket alone; the last has no bound."""
        self.sum = 0.0
        self.instant: list[Tally] = []
        """Observations within the first bound that are counted elsewhere; one tally may stand in many
        series. What they add to `sum` is added here."""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Bounds and cumulative counts, as Prometheus has them."""
        below = sum(tally.count for tally in self.instant)
        for bound, count in zip([*map(str, map(float, self._bounds)), "+Inf"], self.counts, strict=True):
            below += count
            yield bound, below


class Histogram(Collector):
    """Observations by labels."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        registry: CollectorRegistry,
        buckets: Sequence[float] = SECONDS,
    ) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._bounds = buckets
        self._series: dict[tuple[str, ...], Series] = {}
        registry.register(self)

    def labels(self, *values: str) -> Series:
        """The series of these values; its number must be bounded by the caller."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Series(self._bounds)
        return series

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in self._series.items():
            family.add_metric(values, list(series.buckets()), series.sum)
        yield family


class _Tallies(Collector):
    """Numbers by labels."""

    family: type[CounterMetricFamily | GaugeMetricFamily]

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._tallies: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The number of these values; how many there are must be bounded by the caller."""
        tally = self._tallies.get(values)
        if tally is None:
            tally = self._tallies[values] = Tally()
        return tally

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        yield self.family(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        family = self.family(self._name, self._text, labels=self._labels)
        for values, tally in self._tallies.items():
            family.add_metric(values, tally.count)
        yield family


class Counter(_Tallies):
    """What only ever grows; its name gets `_total`."""

    family = CounterMetricFamily


class Gauge(_Tallies):
    """What comes and goes, and counters whose name upstream did not end in `_total`."""

    family = GaugeMetricFamily
