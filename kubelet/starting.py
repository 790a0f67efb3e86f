"""Starting one container: image, configuration, create, start, postStart; order and events are upstream's.

Source: the kubelet's `kuberuntime_container.go` (`startContainer`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kplane.api.errors import ApiError
from kplane.api.types import ConfigMap, Secret

from . import container, credentials, environment, sandbox
from .environment import ConfigError, Sources
from .handlers import perform
from .host import Host
from .images import ImageFailure
from .plan import Start
from .pod import Container, Handler, Pod
from .runtime.interface import Auth, ContainerConfig, Image, RuntimeFailure, SandboxConfig
from .volumes.volume import VolumeFailure

log = logging.getLogger(__name__)

HOOK_SECONDS = 30


class StartFailure(Exception):
    """The container does not run; `reason` and `message` are for its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Place:
    """The sandbox in which the container starts."""

    sandbox_id: str
    config: SandboxConfig
    ips: Sequence[str]
    volumes: Mapping[str, Path]
    runs: Mapping[str, str] = field(default_factory=dict)
    """The id of each container's latest run, by the container's name."""


async def start(host: Host, pod: Pod, order: Start, place: Place) -> None:
    """Raises StartFailure."""
    wanted = order.container
    tell = partial(host.tell, pod, wanted.name)
    try:
        image = await host.images.ensure(pod, wanted, await _auths(host, pod, wanted), tell)
    except ImageFailure as failure:
        tell("Warning", "Failed", f"Error: {failure.reason}")
        raise StartFailure(failure.reason, failure.message) from failure
    await _pull_volumes(host, pod, wanted)
    container_id = await _create(host, pod, order, place, image)
    tell("Normal", "Created", "Container created")
    try:
        await host.runtime.start_container(container_id)
    except RuntimeFailure as failure:
        tell("Warning", "Failed", f"Error: {failure}")
        raise StartFailure("RunContainerError", str(failure)) from failure
    host.expect_soon()
    tell("Normal", "Started", "Container started")
    log.info("started container pod=%s container=%s attempt=%d", pod.key, wanted.name, order.attempt)
    if wanted.lifecycle.post_start is not None:
        await _post_start(host, pod, wanted, wanted.lifecycle.post_start, container_id, place)


async def _pull_volumes(host: Host, pod: Pod, wanted: Container) -> None:
    """The images that the container mounts."""
    mounted = {mount.name for mount in wanted.volume_mounts}
    tell = partial(host.tell, pod, wanted.name)
    for volume in pod.spec.volumes:
        if volume.image is None or volume.name not in mounted:
            continue
        source = volume.image
        image = Container(name=wanted.name, image=source.reference, image_pull_policy=source.pull_policy)
        try:
            await host.images.ensure(pod, image, await _auths(host, pod, image), tell)
        except ImageFailure as failure:
            tell("Warning", "Failed", f"Error: {failure.reason}")
            raise StartFailure(failure.reason, failure.message) from failure


async def _create(host: Host, pod: Pod, order: Start, place: Place, image: Image) -> str:
    tell = partial(host.tell, pod, order.container.name)
    try:
        config = await _configure(host, pod, order, place, image)
    except (ConfigError, VolumeFailure, ApiError, OSError) as failure:
        tell("Warning", "Failed", f"Error: {failure}")
        raise StartFailure("CreateContainerConfigError", str(failure)) from failure
    try:
        return await host.runtime.create_container(place.sandbox_id, config, place.config)
    except RuntimeFailure as failure:
        tell("Warning", "Failed", f"Error: {failure}")
        raise StartFailure("CreateContainerError", str(failure)) from failure


async def _configure(host: Host, pod: Pod, order: Start, place: Place, image: Image) -> ContainerConfig:
    wanted = order.container
    env = environment.build(pod, wanted, await _sources(host, pod, wanted, place.ips))
    return container.container_config(
        pod,
        wanted,
        order.attempt,
        container.Surroundings(
            config=host.config,
            image=image,
            env=env,
            mounts=host.disk.mounts(pod, wanted, place.volumes, env, place.ips),
            message_file=host.disk.message_file(pod, wanted, order.attempt),
            node_memory=host.memory,
            target=_target(wanted, place),
        ),
    )


def _target(wanted: Container, place: Place) -> str:
    """The id of the container whose processes an ephemeral one is to see. Raises ConfigError."""
    name = wanted.target_container_name
    if name and name not in place.runs:
        raise ConfigError(f"unable to find target container {name}")
    return place.runs.get(name, "")


async def _sources(host: Host, pod: Pod, wanted: Container, ips: Sequence[str]) -> Sources:
    config_maps, secrets = environment.references(wanted)
    get = partial(host.objects.get, namespace=pod.metadata.namespace, pod_uid=pod.metadata.uid)
    return Sources(
        services=host.services(),
        config_maps={name: await get(ConfigMap, name=name) for name in config_maps},
        secrets={name: await get(Secret, name=name) for name in secrets},
        host_ips=host.config.node_ips,
        pod_ips=ips or (host.config.node_ips if pod.spec.host_network else ()),
        allocatable=host.allocatable,
    )


async def _auths(host: Host, pod: Pod, wanted: Container) -> list[Auth]:
    """Credentials from the pull secrets; one that is missing is passed over, as upstream does."""
    if not pod.spec.image_pull_secrets:
        return []
    meta = pod.metadata
    try:
        found = [
            await host.objects.get(Secret, meta.namespace, reference.name, meta.uid)
            for reference in pod.spec.image_pull_secrets
        ]
    except ApiError as failure:
        raise StartFailure("ErrImagePull", str(failure)) from failure
    return credentials.for_image(wanted.image, [secret for secret in found if secret is not None])


async def _post_start(
    host: Host, pod: Pod, wanted: Container, hook: Handler, container_id: str, place: Place
) -> None:
    if hook.sleep is not None:
        await host.clock.sleep(hook.sleep.seconds)
        return
    ip = place.ips[0] if place.ips else "127.0.0.1"
    outcome = await perform(hook, wanted, container_id, ip, host.runtime, host.network, HOOK_SECONDS)
    if outcome.delivered:
        return
    host.tell(pod, wanted.name, "Warning", "FailedPostStartHook", "PostStartHook failed")
    await host.runtime.stop_container(container_id, pod.grace_seconds)
    raise StartFailure("PostStartHookError", outcome.output)


def sandbox_config(host: Host, pod: Pod, attempt: int) -> SandboxConfig:
    """The configuration of the pod's sandbox number `attempt`."""
    return sandbox.sandbox_config(pod, attempt, host.config, host.dns)
