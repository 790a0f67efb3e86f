"""What to do for a pod now: a plain function of its spec, the runtime's state and the probes' verdicts.

Source: the kubelet's `computePodActions` and `computeInitContainerActions`.

Invariants: nothing is started in a sandbox that is not the newest; init containers run one after the other;
a main container starts only when every init container has ended well (sidecars: has started); an ephemeral
container runs once at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from . import labels
from .backoff import BackOff
from .container import spec_hash
from .pod import Container, Pod, Probe
from .restarts import runs_again
from .runtime.interface import ContainerState, ContainerStatus
from .state import PodState
from .verdicts import Verdicts

NANO = 1_000_000_000


@dataclass(frozen=True)
class Start:
    container: Container
    attempt: int
    failed_at: float | None = None
    """When the run before it ended (seconds since the epoch); None for the first run."""


@dataclass(frozen=True)
class Kill:
    id: str
    name: str
    message: str
    grace_seconds: int | None = None
    """The pod's own where None."""


@dataclass(frozen=True)
class Resize:
    """A container that runs and gets other resources."""

    id: str
    container: Container


@dataclass(frozen=True)
class Plan:
    """In this order: kill, resize, stop old sandboxes, create a sandbox, start."""

    kill: tuple[Kill, ...] = ()
    resize: tuple[Resize, ...] = ()
    create_sandbox: bool = False
    attempt: int = 0
    start: tuple[Start, ...] = ()
    backing_off: Mapping[str, float] = field(default_factory=dict)
    """Containers that must wait, and how many seconds more."""

    @property
    def empty(self) -> bool:
        return not (self.kill or self.resize or self.create_sandbox or self.start)


def plan(
    pod: Pod,
    state: PodState,
    verdicts: Verdicts,
    backoff: BackOff,
    now: float,
    resizes: Mapping[str, bool] | None = None,
) -> Plan:
    """`now` in seconds since the epoch, as container times are. `resizes`: running containers that must get
    other resources, and whether only a new start gives them those."""
    sandbox = state.sandbox
    usable = sandbox is not None and sandbox.ready and bool(sandbox.ips or pod.spec.host_network)
    if not usable:
        return _new_sandbox(pod, state)
    planner = _Planner(pod, state, verdicts, backoff, now)
    planner.resizes = resizes or {}
    planner.decide()
    return Plan(
        tuple(planner.kill),
        tuple(planner.resize),
        start=tuple(planner.start),
        backing_off=planner.backing_off,
    )


def _new_sandbox(pod: Pod, state: PodState) -> Plan:
    """Everything begins again, but for containers that have done their work."""
    attempt = state.sandbox.attempt + 1 if state.sandbox else 0
    ran_before = bool(state.containers)
    if pod.spec.restart_policy == "Never" and attempt and ran_before:
        return Plan()
    kill = [Kill(entry.id, entry.name, "Pod sandbox changed") for entry in state.running()]
    unfinished = [entry for entry in pod.spec.containers if _restarts(pod, entry, state.latest(entry.name))]
    if not unfinished:
        return Plan()
    starting: Iterable[Container] = unfinished
    if pod.spec.init_containers:
        starting = pod.spec.init_containers[:1]
    return Plan(
        tuple(kill),
        create_sandbox=True,
        attempt=attempt,
        start=tuple(Start(entry, _next_attempt(state, entry.name)) for entry in starting),
    )


def _next_attempt(state: PodState, name: str) -> int:
    latest = state.latest(name)
    return latest.attempt + 1 if latest else 0


def _restarts(pod: Pod, container: Container, run: ContainerStatus | None) -> bool:
    """Whether a main container that is not running is to run (again)."""
    if run is None or run.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
        return True
    return run.state is ContainerState.RUNNING or runs_again(pod, container, run.exit_code)


class _Planner:
    def __init__(self, pod: Pod, state: PodState, verdicts: Verdicts, backoff: BackOff, now: float) -> None:
        self._pod, self._state, self._verdicts = pod, state, verdicts
        self._backoff, self._now = backoff, now
        self.resizes: Mapping[str, bool] = {}
        self.kill: list[Kill] = []
        self.resize: list[Resize] = []
        self.start: list[Start] = []
        self.backing_off: dict[str, float] = {}

    def decide(self) -> None:
        for container in self._pod.spec.ephemeral_containers:
            if self._state.latest(container.name) is None:
                self.start.append(Start(container, 0))
        if self._initialized() or self._init_containers_done():
            for container in self._pod.spec.containers:
                self._main(container)

    def _initialized(self) -> bool:
        """Whether a main container has run in this sandbox; then only sidecars are looked after."""
        if not any(self._state.current(entry.name) for entry in self._pod.spec.containers):
            return False
        for container in self._pod.spec.init_containers:
            if container.sidecar:
                self._keep_running(container)
        return True

    def _init_containers_done(self) -> bool:
        for container in self._pod.spec.init_containers:
            run = self._state.current(container.name)
            if container.sidecar:
                if not self._keep_running(container):
                    return False
            elif run is None or run.state is ContainerState.CREATED:
                self._begin(container)
                return False
            elif run.state is not ContainerState.EXITED:
                return False
            elif run.exit_code != 0:
                if runs_again(self._pod, container, run.exit_code):
                    self._begin(container)
                return False
        return True

    def _keep_running(self, sidecar: Container) -> bool:
        """Whether the sidecar has started, so that what comes after it may start."""
        run = self._state.current(sidecar.name)
        if run is None or run.state is not ContainerState.RUNNING:
            self._begin(sidecar)
            return False
        if self._stopped(sidecar, run):
            return False
        return self._verdicts.started(sidecar, run.id)

    def _main(self, container: Container) -> None:
        run = self._state.current(container.name)
        if run is not None and run.state is ContainerState.RUNNING:
            self._stopped(container, run)
        elif _restarts(self._pod, container, run):
            self._begin(container)

    def _stopped(self, container: Container, run: ContainerStatus) -> bool:
        """Whether the running container must end; if it only has to change, that is noted."""
        name = container.name
        why = ""
        if spec_hash(container) != run.annotations.get(labels.HASH, spec_hash(container)):
            why = f"Container {name} definition changed, will be restarted"
        elif self.resizes.get(name):
            why = f"Container {name} resize requires restart"
        if why:
            self.kill.append(Kill(run.id, name, why))
            # At once and whatever the restart policy: it has not failed.
            self.start.append(Start(container, run.attempt + 1))
            return True
        if kill := self._unhealthy(container, run):
            self.kill.append(kill)
            return True
        if name in self.resizes:
            self.resize.append(Resize(run.id, container))
        return False

    def _unhealthy(self, container: Container, run: ContainerStatus) -> Kill | None:
        name, restart = container.name, self._pod.spec.restart_policy != "Never"
        message, grace = "", None
        if self._verdicts.failed(run.id, "liveness"):
            message = f"Container {name} failed liveness probe"
            grace = _probe_grace(container.liveness_probe)
        elif self._verdicts.failed(run.id, "startup"):
            message = f"Container {name} failed startup probe"
            grace = _probe_grace(container.startup_probe)
        if not message:
            return None
        return Kill(run.id, name, message + (", will be restarted" if restart else ""), grace)

    def _begin(self, container: Container) -> None:
        """Start it, or wait for its back-off."""
        run = self._state.current(container.name)
        failed_at = run.finished_at / NANO if run and run.state is ContainerState.EXITED else None
        if failed_at is not None:
            wait = self._backoff.remaining(container.name, failed_at, self._now)
            if wait > 0:
                self.backing_off[container.name] = wait
                return
        attempt = _next_attempt(self._state, container.name)
        self.start.append(Start(container, attempt, failed_at))


def _probe_grace(probe: Probe | None) -> int | None:
    return probe.termination_grace_period_seconds if probe else None


def finished(pod: Pod, state: PodState) -> str:
    """`Succeeded` or `Failed` where no container will ever run again, else nothing."""
    for container in pod.spec.init_containers:
        code = _exit_code(state.latest(container.name))
        if code and not container.sidecar and not runs_again(pod, container, code):
            return "Failed"
    codes = [(entry, _exit_code(state.latest(entry.name))) for entry in pod.spec.containers]
    if any(code is None or runs_again(pod, entry, code) for entry, code in codes):
        return ""
    return "Failed" if any(code for _, code in codes) else "Succeeded"


def _exit_code(run: ContainerStatus | None) -> int | None:
    return run.exit_code if run is not None and run.state is ContainerState.EXITED else None
