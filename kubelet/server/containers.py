"""What the node server knows of Pods: which container a request means, and whether it can be served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kplane.api.errors import BadRequest, NotFound

from .. import logs
from ..pod import Pod
from ..runtime.interface import Container, ContainerState, Runtime, Sandbox


@dataclass(frozen=True)
class NodePods:
    """`find` returns the Pod of that namespace and name that runs here, or None; `runtime_of` what runs it:
    one process may serve many hollow nodes, each with a runtime of its own."""

    find: Callable[[str, str], Pod | None]
    runtime_of: Callable[[Pod], Runtime]
    pod_logs_dir: Path

    def pod(self, namespace: str, name: str) -> Pod:
        found = self.find(namespace, name)
        if found is None:
            raise NotFound("pod does not exist")
        return found

    async def sandbox(self, pod: Pod) -> Sandbox:
        """The Pod's running sandbox. Raises NotFound."""
        sandboxes = await self.runtime_of(pod).list_sandboxes(pod.metadata.uid)
        ready = [sandbox for sandbox in sandboxes if sandbox.ready]
        if not ready:
            raise NotFound(f'pod not found ("{pod.metadata.name}_{pod.metadata.namespace}")')
        return max(ready, key=lambda sandbox: sandbox.attempt)

    async def running(self, pod: Pod, name: str) -> Container:
        """The container's current run. Raises NotFound if none is running."""
        found = [c for c in await self._runs(pod, name) if c.state is ContainerState.RUNNING]
        if not found:
            raise NotFound(f'container not found ("{name}")')
        return found[-1]

    async def log_file(self, pod: Pod, name: str, *, previous: bool) -> tuple[Path, Container]:
        """The log of the container's latest run, or of the one before. Raises NotFound, BadRequest."""
        spec = pod.spec
        everyone = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
        if name not in [container.name for container in everyone]:
            raise NotFound(f"container {name} not found in pod {pod.metadata.name}")
        runs = await self._runs(pod, name)
        if previous:
            ended = [run for run in runs if run.state is ContainerState.EXITED]
            runs = [run for run in ended if run is not runs[-1]] or ended[:-1]
            if not runs:
                raise BadRequest(
                    f'previous terminated container "{name}" in pod "{pod.metadata.name}" not found'
                )
        if not runs:
            raise BadRequest(f'container "{name}" in pod "{pod.metadata.name}" is {waiting(pod, name)}')
        directory = logs.pod_log_dir(
            self.pod_logs_dir, pod.metadata.namespace, pod.metadata.name, pod.metadata.uid
        )
        return logs.container_log(directory, name, runs[-1].attempt), runs[-1]

    async def is_running(self, pod: Pod, container: Container) -> bool:
        status = await self.runtime_of(pod).container_status(container.id)
        return status.state is ContainerState.RUNNING

    async def _runs(self, pod: Pod, name: str) -> list[Container]:
        containers = await self.runtime_of(pod).list_containers(pod.metadata.uid)
        runs = [container for container in containers if container.name == name]
        return sorted(runs, key=lambda run: (run.created_at, run.attempt))


def waiting(pod: Pod, name: str) -> str:
    """Why a container has no log yet, from the Pod's status as last reported."""
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in pod.status.get(field, ()):
            if status["name"] == name and (state := status.get("state", {}).get("waiting")):
                if state.get("reason") in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
                    return "waiting to start: trying and failing to pull image"
                return f"waiting to start: {state.get('reason', '')}"
    return "not available"
