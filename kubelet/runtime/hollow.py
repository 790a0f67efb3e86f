"""The hollow runtime: containers in memory only, for simulating nodes without root or containerd.

Pods run at once and get addresses from the pod CIDR. What is marked to run to completion (init containers),
and everything in a Job's pods, ends with 0 after a moment. Passes the same contract tests as `cri.py`.
A container uses the CPU and memory that its variables `HOLLOW_CPU_USAGE` and `HOLLOW_MEMORY_USAGE` name, as
quantities, so that autoscaling can be tried. Idle cost: one waiting coroutine per node.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kplane.api.clock import Clock, Entropy
from kplane.api.quantity import QuantityError, milli, units

from ..alarm import Alarm
from ..labels import COMPLETES
from .interface import (
    Auth,
    Container,
    ContainerConfig,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    Image,
    Namespace,
    NoSuchThing,
    Resources,
    RuntimeCondition,
    RuntimeFailure,
    RuntimeVersion,
    Sandbox,
    SandboxConfig,
    Unsupported,
)

CPU_USAGE, MEMORY_USAGE = "HOLLOW_CPU_USAGE", "HOLLOW_MEMORY_USAGE"
JOB_LABEL = "batch.kubernetes.io/job-name"
MOMENT_SECONDS = 1.0
IMAGE_BYTES = 1 << 20
SIGTERM_EXIT = 143


@dataclass(slots=True)
class _Container:
    config: ContainerConfig
    sandbox: str
    status: ContainerStatus


class HollowRuntime:
    """One node's runtime. `pod_cidr` gives the addresses."""

    def __init__(self, clock: Clock, entropy: Entropy, pod_cidr: str) -> None:
        self._clock, self._entropy = clock, entropy
        self._addresses = _addresses(pod_cidr)
        self._free: deque[str] = deque()
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._images: dict[str, Image] = {}
        self._endings: list[tuple[float, str]] = []
        self._changed: deque[str] = deque()
        self._alarm = Alarm(clock)
        self.scheme = "hollow"

    async def version(self) -> RuntimeVersion:
        return RuntimeVersion("hollow", "1.0.0")

    async def conditions(self) -> Sequence[RuntimeCondition]:
        return [RuntimeCondition("RuntimeReady", True), RuntimeCondition("NetworkReady", True)]

    async def set_pod_cidr(self, cidr: str) -> None:
        """Addresses given already stay."""
        self._addresses = _addresses(cidr)

    async def run_sandbox(self, config: SandboxConfig) -> str:
        on_host = config.security.namespaces.network is Namespace.NODE
        sandbox = Sandbox(
            id=self._id(),
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            ready=True,
            created_at=self._now(),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            ips=() if on_host else (self._address(),),
            host_network=on_host,
        )
        self._sandboxes[sandbox.id] = sandbox
        self._tell(sandbox.uid)
        return sandbox.id

    async def stop_sandbox(self, sandbox: str) -> None:
        found = self._sandboxes.get(sandbox)
        if found is None or not found.ready:
            return
        for container in self._of(sandbox):
            self._exit(container, 137)
        self._free.extend(found.ips)
        self._sandboxes[sandbox] = replace(found, ready=False, ips=())
        self._tell(found.uid)

    async def remove_sandbox(self, sandbox: str) -> None:
        await self.stop_sandbox(sandbox)
        for container in list(self._of(sandbox)):
            del self._containers[container.status.id]
        self._sandboxes.pop(sandbox, None)

    async def sandbox_status(self, sandbox: str) -> Sandbox:
        found = self._sandboxes.get(sandbox)
        if found is None:
            raise NoSuchThing(f'an error occurred when try to find sandbox "{sandbox}": not found')
        return found

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        return [
            replace(entry, ips=())
            for entry in self._sandboxes.values()
            if not pod_uid or entry.uid == pod_uid
        ]

    async def create_container(
        self, sandbox: str, config: ContainerConfig, sandbox_config: SandboxConfig
    ) -> str:
        found = await self.sandbox_status(sandbox)
        status = ContainerStatus(
            id=self._id(),
            name=config.name,
            attempt=config.attempt,
            state=ContainerState.CREATED,
            created_at=self._now(),
            started_at=0,
            finished_at=0,
            exit_code=0,
            reason="",
            message="",
            image=config.user_image or config.image,
            image_ref=config.image,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self._containers[status.id] = _Container(config, sandbox, status)
        self._tell(found.uid)
        return status.id

    async def start_container(self, container: str) -> None:
        found = self._find(container)
        found.status = replace(found.status, state=ContainerState.RUNNING, started_at=self._now())
        labels = self._sandboxes[found.sandbox].labels
        if JOB_LABEL in labels or COMPLETES in found.status.annotations:
            heapq.heappush(self._endings, (self._clock.monotonic() + MOMENT_SECONDS, container))
        self._tell(self._sandboxes[found.sandbox].uid)

    async def stop_container(self, container: str, timeout: int) -> None:
        if container in self._containers:
            self._exit(self._containers[container], SIGTERM_EXIT)

    async def remove_container(self, container: str) -> None:
        found = self._containers.pop(container, None)
        if found is not None:
            self._tell(self._sandboxes[found.sandbox].uid)

    async def list_containers(self, pod_uid: str = "") -> Sequence[Container]:
        self._end_what_is_due()
        return [
            Container(
                id=entry.status.id,
                sandbox_id=entry.sandbox,
                name=entry.status.name,
                attempt=entry.status.attempt,
                state=entry.status.state,
                image_ref=entry.status.image_ref,
                created_at=entry.status.created_at,
                labels=entry.status.labels,
                annotations=entry.status.annotations,
            )
            for entry in self._containers.values()
            if not pod_uid or self._sandboxes[entry.sandbox].uid == pod_uid
        ]

    async def container_status(self, container: str) -> ContainerStatus:
        self._end_what_is_due()
        return self._find(container).status

    async def update_resources(self, container: str, resources: Resources) -> None:
        self._find(container)

    async def reopen_log(self, container: str) -> None:
        self._find(container)

    async def exec_sync(self, container: str, command: Sequence[str], timeout: float) -> ExecResult:
        self._find(container)
        return ExecResult(b"", b"", 0)

    async def exec_url(
        self, container: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        raise Unsupported("exec is not supported by the hollow runtime: its containers have no processes")

    async def attach_url(self, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        raise Unsupported("attach is not supported by the hollow runtime: its containers have no processes")

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        raise Unsupported("port-forward is not supported by the hollow runtime: its pods have no network")

    async def stats(self) -> Sequence[ContainerStats]:
        return [
            ContainerStats(
                id=entry.status.id,
                name=entry.status.name,
                pod_uid=self._sandboxes[entry.sandbox].uid,
                timestamp=self._now(),
                cpu_nanoseconds=self._cpu(entry),
                memory_working_set=_pretended(entry, MEMORY_USAGE),
                memory_usage=_pretended(entry, MEMORY_USAGE),
                memory_rss=_pretended(entry, MEMORY_USAGE),
                writable_layer_bytes=0,
            )
            for entry in self._containers.values()
            if entry.status.state is ContainerState.RUNNING
        ]

    def _cpu(self, container: _Container) -> int:
        """Nanoseconds used since it started."""
        running = self._now() - container.status.started_at
        return running * _pretended(container, CPU_USAGE, milli) // 1000

    async def image(self, reference: str) -> Image | None:
        return self._images.get(reference)

    async def pull_image(self, reference: str, auth: Auth | None = None) -> str:
        self._images[reference] = Image(reference, (reference,), (), IMAGE_BYTES)
        return reference

    async def list_images(self) -> Sequence[Image]:
        return list(self._images.values())

    async def remove_image(self, reference: str) -> None:
        self._images.pop(reference, None)

    async def events(self) -> AsyncIterator[str]:
        while True:
            self._end_what_is_due()
            while self._changed:
                yield self._changed.popleft()
            due = self._endings[0][0] - self._clock.monotonic() if self._endings else None
            await self._alarm.wait(None if due is None else max(due, 0))

    async def close(self) -> None:
        """Nothing to close: the containers are forgotten with this object."""

    def _find(self, container: str) -> _Container:
        found = self._containers.get(container)
        if found is None:
            raise NoSuchThing(f'an error occurred when try to find container "{container}": not found')
        return found

    def _of(self, sandbox: str) -> list[_Container]:
        return [entry for entry in self._containers.values() if entry.sandbox == sandbox]

    def _exit(self, container: _Container, code: int) -> None:
        if container.status.state is not ContainerState.RUNNING:
            return
        container.status = replace(
            container.status,
            state=ContainerState.EXITED,
            finished_at=self._now(),
            exit_code=code,
            reason="Completed" if code == 0 else "Error",
        )
        self._tell(self._sandboxes[container.sandbox].uid)

    def _end_what_is_due(self) -> None:
        while self._endings and self._endings[0][0] <= self._clock.monotonic():
            _, container = heapq.heappop(self._endings)
            if container in self._containers:
                self._exit(self._containers[container], 0)

    def _tell(self, uid: str) -> None:
        self._changed.append(uid)
        self._alarm.ring()

    def _address(self) -> str:
        found = self._free.popleft() if self._free else next(self._addresses, None)
        if found is None:
            raise RuntimeFailure("no IP addresses available in the node's pod CIDR")
        return found

    def _id(self) -> str:
        return self._entropy.token(32).hex()

    def _now(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000_000)


def _addresses(cidr: str) -> Iterator[str]:
    """Addresses of the range, without the network's own and the bridge's."""
    hosts = ipaddress.ip_network(cidr).hosts()
    next(hosts)
    return (str(address) for address in hosts)


def _pretended(container: _Container, variable: str, read: Callable[[str], int] = units) -> int:
    """What the container says that it uses; nothing where it says nonsense."""
    text = dict(container.config.env).get(variable, "0")
    try:
        return max(read(text), 0)
    except QuantityError:
        return 0
