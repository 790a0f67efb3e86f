"""How long admission takes: each plug-in, and each step with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock

from ..measuring import Histogram, Series, Tally
from .chain import Attributes, Chain, Mutator, Operation, Sort, Step, Validator, Work

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)


class Timed(NamedTuple):
    """What one plug-in does, and the series of how long that took."""

    name: str
    work: Work
    passed: Series


class MeasuredStep(Step):
    """Feeds the histograms. The series of what passes are at hand, those of refusals are looked up."""

    def __init__(self, works: Sequence[Timed], labels: _Labels, clock: Clock) -> None:
        super().__init__([timed.work for timed in works])
        self.finished = Tally()
        self._timed = tuple(works)
        self._passed = labels.step("false")
        self._labels = labels
        self._now = clock.monotonic

    async def run(self, attributes: Attributes) -> None:
        now = self._now
        began = then = now()
        try:
            for timed in self._timed:
                await timed.work(attributes)
                after = now()
                timed.passed.observe(after - then)
                then = after
        except BaseException:
            after = now()
            self._labels.plugin(timed.name, "true").observe(after - then)
            self._labels.step("true").observe(after - began)
            raise
        self.finished.count += 1
        self._passed.observe(then - began)


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
                    labels.plugin(plugin.name, "false").instant.append(step.finished)
        return self._made[key]
