"""From a container's spec to the runtime's container configuration. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from . import labels, logs, resources, sandbox
from .config import KubeletConfig
from .environment import ConfigError, expand
from .pod import Container, Pod
from .runtime.interface import ContainerConfig, Image, Mount, Security

_MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Surroundings:
    """What the configuration needs beside the spec."""

    config: KubeletConfig
    image: Image
    env: Mapping[str, str]
    mounts: Sequence[Mount]
    message_file: str
    """The host's file behind terminationMessagePath."""
    node_memory: int
    target: str = ""
    """The id of the container whose processes this one is to see."""


def spec_hash(container: Container) -> str:
    """Changes when a running container no longer fits its spec; only name and image count, as upstream."""
    return _hash(container.image, container.name)


@lru_cache(maxsize=1024)
def _hash(image: str, name: str) -> str:
    picked = json.dumps({"image": image, "name": name}, sort_keys=True)
    return format(zlib.crc32(picked.encode()), "x")


def container_config(pod: Pod, container: Container, attempt: int, around: Surroundings) -> ContainerConfig:
    """Raises ConfigError where the spec's rules cannot be kept."""
    check_non_root(pod, container, around.image)
    message = Mount(container.termination_message_path, around.message_file)
    return ContainerConfig(
        name=container.name,
        attempt=attempt,
        image=around.image.id,
        user_image=container.image,
        command=tuple(expand(word, around.env) for word in container.command),
        args=tuple(expand(word, around.env) for word in container.args),
        working_dir=container.working_dir,
        env=tuple(around.env.items()),
        mounts=(*around.mounts, *([message] if container.termination_message_path else [])),
        labels=sandbox.identity(pod) | {labels.CONTAINER_NAME: container.name},
        annotations=_annotations(pod, container, attempt, around.message_file),
        log_path=logs.relative(container.name, attempt),
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        resources=resources.for_container(pod, container, around.node_memory),
        security=security(pod, container, around),
    )


def _annotations(pod: Pod, container: Container, attempt: int, message_file: str) -> dict[str, str]:
    found = {
        labels.HASH: spec_hash(container),
        labels.RESTART_COUNT: str(attempt),
        labels.MESSAGE_PATH: message_file,
        labels.MESSAGE_POLICY: container.termination_message_policy,
        labels.GRACE: str(pod.grace_seconds),
    }
    if container.lifecycle.pre_stop:
        found[labels.PRE_STOP] = msgspec.json.encode(container.lifecycle.pre_stop).decode()
    if container in pod.spec.init_containers and not container.sidecar:
        found[labels.COMPLETES] = "true"
    return found


def security(pod: Pod, container: Container, around: Surroundings) -> Security:
    image, config = around.image, around.config
    mine, pods = container.security_context, pod.spec.security_context
    user = mine.run_as_user if mine.run_as_user is not None else pods.run_as_user
    username = ""
    if user is None:
        user, username = (image.uid, "") if image.uid is not None else (None, image.username)
    group = mine.run_as_group if mine.run_as_group is not None else pods.run_as_group
    groups = [*pods.supplemental_groups, *([pods.fs_group] if pods.fs_group is not None else [])]
    masked = mine.proc_mount != "Unmasked" and not mine.privileged
    return Security(
        namespaces=sandbox.namespaces(pod, around.target),
        user=user,
        # The runtime refuses a group without a user.
        group=group if user is not None or username else None,
        username=username,
        supplemental_groups=tuple(groups),
        privileged=mine.privileged,
        readonly_rootfs=mine.read_only_root_filesystem,
        no_new_privs=mine.allow_privilege_escalation is False,
        add_capabilities=mine.capabilities.add,
        drop_capabilities=mine.capabilities.drop,
        seccomp=sandbox.seccomp(mine.seccomp_profile or pods.seccomp_profile, config),
        masked_paths=_MASKED if masked else (),
        readonly_paths=_READ_ONLY if masked else (),
    )


def check_non_root(pod: Pod, container: Container, image: Image) -> None:
    """Raises ConfigError where runAsNonRoot is asked for and the process would be root."""
    mine, pods = container.security_context, pod.spec.security_context
    wanted = mine.run_as_non_root if mine.run_as_non_root is not None else pods.run_as_non_root
    if not wanted:
        return
    place = f'(pod: "{pod.long_name}", container: {container.name})'
    user = mine.run_as_user if mine.run_as_user is not None else pods.run_as_user
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {place}")
    elif image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {place}"
        )
    elif not image.uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {place}")
