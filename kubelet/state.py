"""What the runtime holds of one pod, read afresh for every decision: the kubelet has no state of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from . import termination
from .runtime.interface import (
    Container,
    ContainerState,
    ContainerStatus,
    NoSuchThing,
    Runtime,
    Sandbox,
)
from .together import together


@dataclass(frozen=True)
class PodState:
    """Sandboxes and containers, newest first. Only the newest sandbox, if ready, has its addresses."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[ContainerStatus, ...] = ()
    sandbox_of: dict[str, str] = field(default_factory=dict)
    """Container id -> sandbox id."""

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest one."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def ips(self) -> tuple[str, ...]:
        return self.sandbox.ips if self.sandbox and self.sandbox.ready else ()

    def runs(self, name: str) -> list[ContainerStatus]:
        """All kept runs of a container, newest first."""
        return [entry for entry in self.containers if entry.name == name]

    def latest(self, name: str) -> ContainerStatus | None:
        return next((entry for entry in self.containers if entry.name == name), None)

    def current(self, name: str) -> ContainerStatus | None:
        """The latest run, if it belongs to the newest sandbox."""
        latest = self.latest(name)
        if latest is None or self.sandbox is None or self.sandbox_of.get(latest.id) != self.sandbox.id:
            return None
        return latest

    def running(self) -> Iterator[ContainerStatus]:
        """Containers that have a process, or may have one."""
        return (
            entry
            for entry in self.containers
            if entry.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)
        )

    @property
    def idle(self) -> bool:
        """Whether nothing of the pod runs any more."""
        return not any(self.running()) and not any(sandbox.ready for sandbox in self.sandboxes)


async def read(runtime: Runtime, uid: str) -> PodState:
    """Ask the runtime. Raises RuntimeFailure."""
    sandboxes, containers = await runtime.list_sandboxes(uid), await runtime.list_containers(uid)
    newest_first = sorted(sandboxes, key=lambda entry: (entry.created_at, entry.attempt), reverse=True)
    if newest_first and newest_first[0].ready:
        newest_first[0] = await _with_addresses(runtime, newest_first[0])
    statuses = await together(*(_status(runtime, entry) for entry in containers))
    found = [entry for entry in statuses if entry is not None]
    found.sort(key=lambda entry: (entry.created_at, entry.attempt), reverse=True)
    return PodState(tuple(newest_first), tuple(found), {entry.id: entry.sandbox_id for entry in containers})


async def _with_addresses(runtime: Runtime, sandbox: Sandbox) -> Sandbox:
    try:
        return await runtime.sandbox_status(sandbox.id)
    except NoSuchThing:
        return replace(sandbox, ready=False)


async def _status(runtime: Runtime, container: Container) -> ContainerStatus | None:
    """None: it was removed since it was listed."""
    try:
        status = await runtime.container_status(container.id)
    except NoSuchThing:
        return None
    if status.state is ContainerState.EXITED:
        return replace(status, message=termination.message(status))
    return status
