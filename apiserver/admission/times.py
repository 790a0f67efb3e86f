"""How long admission takes: each plug-in, and each step with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock

from ..measuring import Histogram, Series, Tally
from .chain import Attributes, Chain, Mutator, Operation, Sort, Step, Validator, Work

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
_QUICK = _BUCKETS[0]


class Timed(NamedTuple):
    """What one plug-in does, and the series of how long that took."""

    name: str
    work: Work
    passed: Series


class MeasuredStep(Step):
    """Feeds the histograms. Where the whole of it stays within the first bucket, so does each part: then one
    tally, which all their series include, counts it. The series of refusals are looked up."""

    def __init__(self, works: Sequence[Timed], labels: _Labels, clock: Clock) -> None:
        super().__init__([timed.work for timed in works])
        self.quick, self.slow = Tally(), Tally()
        """How often all of it passed."""
        self._timed = tuple(works)
        self._series = tuple(timed.passed for timed in works)
        self._passed = labels.step("false")
        for series in (self._passed, *self._series):
            series.instant.append(self.quick)
        self._labels = labels
        self._now = clock.monotonic

    async def run(self, attributes: Attributes) -> None:
        now = self._now
        marks = [now()]
        try:
            for work in self._works:
                waiting = work(attributes)
                if waiting is not None:
                    await waiting
                marks.append(now())
        except BaseException:
            self._refused(marks, now())
            raise
        if marks[-1] - marks[0] <= _QUICK:
            self._count_quick(marks)
        else:
            self.slow.count += 1
            self._observe(marks)
            self._passed.observe(marks[-1] - marks[0])

    def _count_quick(self, marks: Sequence[float]) -> None:
        self.quick.count += 1
        self._passed.sum += marks[-1] - marks[0]
        then = marks[0]
        for series, mark in zip(self._series, marks[1:], strict=True):
            series.sum += mark - then
            then = mark

    def _refused(self, marks: Sequence[float], ended: float) -> None:
        self._observe(marks)
        name = self._timed[len(marks) - 1].name
        self._labels.plugin(name, "true").observe(ended - marks[-1])
        self._labels.step("true").observe(ended - marks[0])

    def _observe(self, marks: Sequence[float]) -> None:
        """The plug-ins that passed. `marks`: when the first began, and when each ended."""
        for series, (began, ended) in zip(self._series, pairwise(marks), strict=False):
            series.observe(ended - began)


class _Labels:
    """The series of one step (admit or validate) of one operation, by whether it was refused."""

    def __init__(self, plugins: Histogram, steps: Histogram, operation: str, kind: str) -> None:
        self._plugins, self._steps = plugins, steps
        self._operation, self._kind = operation, kind

    def plugin(self, name: str, rejected: str) -> Series:
        return self._plugins.labels(name, self._operation, rejected, self._kind)

    def step(self, rejected: str) -> Series:
        return self._steps.labels(self._operation, rejected, self._kind)


class MeasuredChain(Chain):
    """A chain that feeds upstream's histograms. What a plug-in of the operation is not shown because it has
    nothing to do with the resource counts as done in no time."""

    def __init__(self, chain: Chain, clock: Clock, registry: CollectorRegistry) -> None:
        super().__init__(chain.plugins)
        self._clock = clock
        self._durations = Histogram(
            "apiserver_admission_controller_admission_duration_seconds",
            "Admission controller latency histogram in seconds, identified by name and broken out for each "
            "operation and API resource and type (validate or admit).",
            ("name", "operation", "rejected", "type"),
            registry,
            _BUCKETS,
        )
        self._totals = Histogram(
            "apiserver_admission_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource "
            "and step type (validate or admit).",
            ("operation", "rejected", "type"),
            registry,
            _BUCKETS,
        )
        self._made: dict[tuple[Operation, str, tuple[str, ...]], MeasuredStep] = {}
        """By the names of the plug-ins: few, however many resources there are."""

    def _admitting(self, sort: Sort) -> Step:
        return self._measured(sort, "admit", [(plugin, plugin.admit) for plugin in self._mutators])

    def _validating(self, sort: Sort) -> Step:
        return self._measured(sort, "validate", [(plugin, plugin.validate) for plugin in self._validators])

    def _measured(self, sort: Sort, kind: str, works: Sequence[tuple[Mutator | Validator, Work]]) -> Step:
        shown = [(plugin, work) for plugin, work in works if plugin.handles.covers(sort)]
        key = sort.operation, kind, tuple(plugin.name for plugin, _ in shown)
        if key not in self._made:
            labels = _Labels(self._durations, self._totals, sort.operation.value, kind)
            timed = [Timed(plugin.name, work, labels.plugin(plugin.name, "false")) for plugin, work in shown]
            step = self._made[key] = MeasuredStep(timed, labels, self._clock)
            for plugin, _ in works:
                if sort.operation in plugin.handles.operations and not plugin.handles.covers(sort):
                    labels.plugin(plugin.name, "false").instant += [step.quick, step.slow]
        return self._made[key]
