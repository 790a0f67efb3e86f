"""Containers of a pod: what holds for all of them, and for init and ephemeral ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..addressforms import validate_ip
from .environment import validate_env, validate_env_from
from .files import descending_path
from .probes import validate_lifecycle, validate_probes
from .resources import validate_requirements
from .restarts import validate_restarts
from .security import validate_container_security

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_EPHEMERAL_FORBIDDEN = (
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "restartPolicy",
    "resizePolicy",
)


_PLAIN_MOUNT = frozenset(("name", "mountPath", "readOnly"))


class Surroundings(NamedTuple):
    """What of the pod its containers refer to."""

    volumes: Mapping[str, Object]
    claims: frozenset[str]
    grace: int
    restart_policy: str
    is_pod: bool
    """Whether the spec is that of a Pod, not of a template."""


def validate_containers(spec: Object, around: Surroundings, path: Path) -> Iterator[FieldError]:
    """All three lists of a pod spec; `path` is the spec's."""
    containers = spec.get("containers") or []
    if not containers:
        yield path.containers.required()
    taken: set[str] = set()
    for index, container in enumerate(containers):
        here = path.containers[index]
        yield from _validate_container(container, around, here)
        yield from _unique(container, taken, here)
        if "lifecycle" in container:
            yield from validate_lifecycle(container, around.grace, here)
        yield from validate_probes(container, here)
    yield from _host_port_conflicts(containers, path.containers)
    for index, container in enumerate(spec.get("initContainers") or ()):
        here = path.initContainers[index]
        yield from _validate_container(container, around, here)
        yield from _validate_init(container, around, here)
        yield from _unique(container, taken, here)
    if "ephemeralContainers" in spec:
        yield from _validate_ephemeral(spec, around, taken, path.ephemeralContainers)


def _validate_container(container: Object, around: Surroundings, path: Path) -> Iterator[FieldError]:
    name = container.get("name", "")
    if not name:
        yield path.name.required()
    else:
        for text in names.dns_label(name):
            yield path.name.invalid(name, text)
    image = container.get("image", "")
    if not image:
        yield path.image.required()
    elif around.is_pod and image != image.strip():
        yield path.image.invalid(image, "must not have leading or trailing whitespace")
    policy = container.get("terminationMessagePolicy", "")
    if policy not in _MESSAGE_POLICIES:
        yield path.terminationMessagePolicy.not_supported(policy, _MESSAGE_POLICIES)
    policy = container.get("imagePullPolicy", "")
    if policy not in PULL_POLICIES:
        yield path.imagePullPolicy.not_supported(policy, PULL_POLICIES)
    if "ports" in container:
        yield from _validate_ports(container["ports"], path.ports)
    if "env" in container:
        yield from validate_env(container["env"], path.env)
    if "envFrom" in container:
        yield from validate_env_from(container["envFrom"], path.envFrom)
    if "volumeMounts" in container or "volumeDevices" in container:
        yield from _validate_mounts(container, around.volumes, path)
    if resources := container.get("resources"):
        yield from validate_requirements(resources, path.resources, around.claims)
    if "resizePolicy" in container:
        yield from _validate_resize(container["resizePolicy"], around, path.resizePolicy)
    if "securityContext" in container:
        yield from validate_container_security(container["securityContext"], path.securityContext)
    if "restartPolicyRules" in container or "restartPolicy" in container:
        yield from validate_restarts(container, path)


def _unique(container: Object, taken: set[str], path: Path) -> Iterator[FieldError]:
    name = container.get("name", "")
    if name and name in taken:
        yield path.name.duplicate(name)
    taken.add(name)


def _validate_ports(ports: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        here = path[index]
        if name := port.get("name"):
            faults = names.port_name(name)
            for text in faults:
                yield here.name.invalid(name, text)
            if not faults and name in taken:
                yield here.name.duplicate(name)
            taken.add(name)
        number = port.get("containerPort", 0)
        if not number:
            yield here.containerPort.required()
        else:
            for text in names.port_number(number):
                yield here.containerPort.invalid(number, text)
        if host_port := port.get("hostPort"):
            for text in names.port_number(host_port):
                yield here.hostPort.invalid(host_port, text)
        protocol = port.get("protocol", "")
        if not protocol:
            yield here.protocol.required()
        elif protocol not in PROTOCOLS:
            yield here.protocol.not_supported(protocol, PROTOCOLS)
        if host_ip := port.get("hostIP"):
            yield from validate_ip(host_ip, here.hostIP)


def _host_port_conflicts(containers: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            claim = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if claim in taken:
                yield path[index].ports[position].hostPort.duplicate(claim)
            taken.add(claim)


def _validate_mounts(container: Object, volumes: Mapping[str, Object], path: Path) -> Iterator[FieldError]:
    devices = {device.get("name"): device for device in container.get("volumeDevices") or ()}
    taken: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        here = path.volumeMounts[index]
        if not name:
            yield here.name.required()
        if name not in volumes:
            yield here.name.not_found(name)
        if not place:
            yield here.mountPath.required()
        if place in taken:
            yield here.mountPath.invalid(place, "must be unique")
        taken.add(place)
        if name in devices:
            yield here.name.invalid(name, "must not already exist in volumeDevices")
        if not _PLAIN_MOUNT.issuperset(mount):
            yield from _validate_mount_details(mount, container, path.volumeMounts, here)
    for index, device in enumerate(container.get("volumeDevices") or ()):
        here = path.volumeDevices[index]
        name = device.get("name", "")
        if name not in volumes:
            yield here.name.not_found(name)
        elif not volumes[name].keys() & {"persistentVolumeClaim", "ephemeral"}:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield here.name.invalid(name, text)
        if not device.get("devicePath"):
            yield here.devicePath.required()


def _validate_mount_details(
    mount: Object, container: Object, listed: Path, path: Path
) -> Iterator[FieldError]:
    sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub_path:
        yield from descending_path(sub_path, listed.subPath)
    if expression:
        if sub_path:
            yield path.subPathExpr.invalid(expression, "subPathExpr and subPath are mutually exclusive")
        yield from descending_path(expression, listed.subPathExpr)
    propagation = mount.get("mountPropagation")
    if propagation is None:
        return
    modes = ("Bidirectional", "HostToContainer", "None")
    if propagation not in modes:
        yield listed.mountPropagation.not_supported(propagation, modes)
    elif propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        yield listed.mountPropagation.forbidden(
            "Bidirectional mount propagation is available only to privileged containers"
        )


def _validate_resize(policies: list[Object], around: Surroundings, path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in taken:
            yield path[index].duplicate(resource)
        taken.add(resource)
        if resource not in ("cpu", "memory"):
            yield path.not_supported(resource, ("cpu", "memory"))
        if restart not in ("NotRequired", "RestartContainer"):
            yield path.not_supported(restart, ("NotRequired", "RestartContainer"))
        elif around.restart_policy == "Never" and restart != "NotRequired":
            yield path.invalid(restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _validate_init(container: Object, around: Surroundings, path: Path) -> Iterator[FieldError]:
    if container.get("restartPolicy") == "Always":
        yield from validate_lifecycle(container, around.grace, path)
        yield from validate_probes(container, path)
        return
    for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            yield path.child(name).forbidden(
                "may not be set for init containers without restartPolicy=Always"
            )
    yield from _host_port_conflicts([container], path)


def _validate_ephemeral(
    spec: Object, around: Surroundings, taken: set[str], path: Path
) -> Iterator[FieldError]:
    containers = spec.get("ephemeralContainers") or ()
    others = set(taken)
    for index, container in enumerate(containers):
        here = path[index]
        yield from _validate_container(container, around, here)
        yield from _unique(container, taken, here)
        target = container.get("targetContainerName")
        if target and target not in others:
            yield here.targetContainerName.not_found(target)
        for name in _EPHEMERAL_FORBIDDEN:
            if container.get(name):
                yield here.child(name).forbidden("cannot be set for an Ephemeral Container")
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    yield (
                        here.volumeMounts[position]
                        .child(name)
                        .forbidden("cannot be set for an Ephemeral Container")
                    )
