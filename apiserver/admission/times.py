"""How long admission takes: each plug-in, and each step with all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock

from ..measuring import Histogram, Series
from .chain import Attributes, Chain

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)

Work = Callable[[Attributes], Awaitable[None]]


class MeasuredChain(Chain):
    """A chain that feeds upstream's histograms."""

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
        self._steps = Histogram(
            "apiserver_admission_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource "
            "and step type (validate or admit).",
            ("operation", "rejected", "type"),
            registry,
            _BUCKETS,
        )
        self._known: dict[tuple[str, str, bool, str], Series] = {}
        self._admitting: list[tuple[str, Work]] = [(plugin.name, plugin.admit) for plugin in self.plugins]
        self._validating: list[tuple[str, Work]] = [(plugin.name, plugin.validate) for plugin in self.plugins]

    async def _admit(self, attributes: Attributes) -> None:
        await self._run("admit", self._admitting, attributes)

    async def validate(self, attributes: Attributes) -> None:
        await self._run("validate", self._validating, attributes)

    async def _run(self, kind: str, works: Sequence[tuple[str, Work]], attributes: Attributes) -> None:
        operation, now = attributes.operation.value, self._clock.monotonic
        began = then = now()
        name, rejected = "", True
        try:
            for name, work in works:
                await work(attributes)
                after = now()
                self._series(name, operation, False, kind).observe(after - then)
                then = after
            rejected = False
        finally:
            after = now()
            if rejected:
                self._series(name, operation, True, kind).observe(after - then)
            verdict = "true" if rejected else "false"
            self._steps.labels(operation, verdict, kind).observe(after - began)

    def _series(self, name: str, operation: str, rejected: bool, kind: str) -> Series:
        key = (name, operation, rejected, kind)
        known = self._known.get(key)
        if known is None:
            verdict = "true" if rejected else "false"
            known = self._known[key] = self._durations.labels(name, operation, verdict, kind)
        return known
