"""Stopping containers: preStop, SIGTERM, the rest of the grace period, SIGKILL.

Main containers end together; sidecars after them, in reverse order. Source: the kubelet's `killContainer`
and `killContainersWithSyncResult`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from . import labels
from .handlers import perform
from .host import Host
from .pod import Container, Handler, Pod
from .runtime.interface import ContainerStatus
from .state import PodState
from .together import together

log = logging.getLogger(__name__)

MIN_GRACE_SECONDS = 2
"""What SIGTERM gets at least, when preStop has used up the grace period."""


async def stop(
    host: Host, pod: Pod, run: ContainerStatus, ips: Sequence[str], grace: int, message: str = ""
) -> None:
    """End one container within `grace` seconds. Raises RuntimeFailure."""
    host.tell(pod, run.name, "Normal", "Killing", message or f"Stopping container {run.name}")
    log.info("stopping container pod=%s container=%s grace=%d", pod.key, run.name, grace)
    container = pod.container(run.name)
    hook = container.lifecycle.pre_stop if container else labels.pre_stop_of(run.annotations)
    left = float(grace)
    if hook is not None and grace > 0:
        begun = host.clock.monotonic()
        await _pre_stop(host, pod, container or Container(name=run.name), run, hook, ips, grace)
        left = max(grace - (host.clock.monotonic() - begun), MIN_GRACE_SECONDS)
    await host.runtime.stop_container(run.id, int(left))


async def _pre_stop(
    host: Host, pod: Pod, container: Container, run: ContainerStatus, hook: Handler,
    ips: Sequence[str], grace: int,
) -> None:  # fmt: skip
    if hook.sleep is not None:
        await host.clock.sleep(min(hook.sleep.seconds, grace))
        return
    ip = ips[0] if ips else "127.0.0.1"
    outcome = await perform(hook, container, run.id, ip, host.runtime, host.network, grace)
    if not outcome.delivered:
        host.tell(pod, run.name, "Warning", "FailedPreStopHook", "PreStopHook failed")


async def stop_all(host: Host, pod: Pod, state: PodState, grace: int) -> None:
    """End everything of the pod, its sandboxes last. Raises RuntimeFailure."""
    begun = host.clock.monotonic()
    sidecars = [entry.name for entry in pod.spec.init_containers if entry.sidecar]
    running = list(state.running())
    main = [run for run in running if run.name not in sidecars]
    await together(*(stop(host, pod, run, state.ips, grace) for run in main))
    for name in reversed(sidecars):
        for run in running:
            if run.name == name:
                left = max(grace - int(host.clock.monotonic() - begun), min(grace, MIN_GRACE_SECONDS))
                await stop(host, pod, run, state.ips, left)
    for sandbox in state.sandboxes:
        await host.runtime.stop_sandbox(sandbox.id)
