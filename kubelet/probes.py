"""Probing: one task per probe of each running container, results in a Verdicts table.

Thresholds count consecutive results. A startup probe that has passed is not run again; until then liveness
and readiness wait. A failed liveness or startup probe is final for that container: it will be killed.
Source: the kubelet's `prober`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from kplane.api.clock import Clock

from .handlers import Network, Outcome, perform
from .pod import Container, Pod, Probe
from .runtime.interface import ContainerState, ContainerStatus, Runtime
from .state import PodState
from .verdicts import Kind, Verdicts

KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")
ATTEMPTS = 3
"""Tries of a probe whose action cannot be carried out at all, as upstream's maxProbeRetries."""


@dataclass(frozen=True)
class Probing:
    """What probes need of the node."""

    runtime: Runtime
    network: Network
    clock: Clock
    unhealthy: Callable[[Pod, Container, str], None]
    """Tells people about a failure (event Unhealthy)."""


def of_kind(container: Container, kind: Kind) -> Probe | None:
    return cast("Probe | None", getattr(container, f"{kind}_probe"))


class Prober:
    """The probes of one pod. `changed` is called when a verdict changes."""

    def __init__(
        self, around: Probing, tasks: asyncio.TaskGroup, verdicts: Verdicts, changed: Callable[[], None]
    ) -> None:
        self._around, self._tasks, self._changed = around, tasks, changed
        self._verdicts = verdicts
        self._running: dict[str, list[asyncio.Task[None]]] = {}
        self._started: dict[str, asyncio.Event] = {}

    def follow(self, pod: Pod, state: PodState) -> None:
        """Probe what runs now, and nothing else."""
        running = {run.id: run for run in state.containers if run.state is ContainerState.RUNNING}
        for gone in self._running.keys() - running.keys():
            self._stop(gone)
        ip = state.ips[0] if state.ips else "127.0.0.1"
        for run in running.values():
            container = pod.container(run.name)
            if run.id not in self._running and container is not None:
                self._start(pod, container, run, ip)

    def stop(self) -> None:
        for container_id in list(self._running):
            self._stop(container_id)

    def _start(self, pod: Pod, container: Container, run: ContainerStatus, ip: str) -> None:
        started = self._started[run.id] = asyncio.Event()
        if container.startup_probe is None:
            started.set()
        self._running[run.id] = [
            self._tasks.create_task(self._watch(pod, container, run, ip, kind, probe))
            for kind in KINDS
            if (probe := of_kind(container, kind)) is not None
        ]

    def _stop(self, container_id: str) -> None:
        for task in self._running.pop(container_id):
            task.cancel()
        self._started.pop(container_id, None)
        self._verdicts.forget(container_id)

    async def _watch(
        self, pod: Pod, container: Container, run: ContainerStatus, ip: str, kind: Kind, probe: Probe
    ) -> None:
        if kind != "startup":
            await self._started[run.id].wait()
        age = self._around.clock.now() - datetime.fromtimestamp(run.started_at / 1e9, UTC)
        await self._around.clock.sleep(probe.initial_delay_seconds - age.total_seconds())
        streak, last = 0, None
        while True:
            outcome = await self._try(container, run.id, ip, probe)
            if outcome.passed is not None:
                streak = streak + 1 if outcome.passed == last else 1
                last = outcome.passed
            if not outcome.passed:
                self._complain(pod, container, kind, outcome)
            needed = probe.success_threshold if last else probe.failure_threshold
            if outcome.passed is not None and streak >= needed:
                self._settle(run.id, kind, outcome.passed)
                if kind == "startup" or (kind == "liveness" and not outcome.passed):
                    return
            await self._around.clock.sleep(probe.period_seconds)

    async def _try(self, container: Container, container_id: str, ip: str, probe: Probe) -> Outcome:
        for _ in range(ATTEMPTS):
            outcome = await perform(
                probe, container, container_id, ip, self._around.runtime, self._around.network,
                probe.timeout_seconds,
            )  # fmt: skip
            if outcome.passed is not None:
                return outcome
        return outcome

    def _settle(self, container_id: str, kind: Kind, passed: bool) -> None:
        before = self._verdicts.results.get((container_id, kind))
        self._verdicts.results[container_id, kind] = passed
        if kind == "startup" and passed:
            self._started[container_id].set()
        if before != passed:
            self._changed()

    def _complain(self, pod: Pod, container: Container, kind: Kind, outcome: Outcome) -> None:
        name = kind.capitalize()
        text = f"{name} probe failed: {outcome.output}"
        if outcome.passed is None:
            text = f"{name} probe errored and resulted in unknown state: {outcome.output}"
        self._around.unhealthy(pod, container, text)
