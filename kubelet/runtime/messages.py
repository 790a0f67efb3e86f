"""Translation between the kubelet's values (`interface.py`) and CRI v1 protobuf messages. Pure."""

from __future__ import annotations

from typing import Any

from cri_api.v1 import api_pb2

from ..labels import POD_UID
from .interface import (
    Container,
    ContainerConfig,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    Image,
    Namespace,
    Namespaces,
    Resources,
    Sandbox,
    SandboxConfig,
    Seccomp,
    Security,
)

cri: Any = api_pb2
"""The generated stubs type enumerations more narrowly than protobuf takes them."""

_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
_SECCOMP = {"RuntimeDefault": 0, "Unconfined": 1, "Localhost": 2}


def sandbox_config(config: SandboxConfig) -> Any:
    dns = config.dns
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            name=config.name, namespace=config.namespace, uid=config.uid, attempt=config.attempt
        ),
        hostname=config.hostname,
        log_directory=config.log_directory,
        dns_config=cri.DNSConfig(servers=dns.servers, searches=dns.searches, options=dns.options)
        if dns
        else None,
        port_mappings=[
            cri.PortMapping(
                protocol=_PROTOCOLS[port.protocol],
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in config.ports
        ],
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=config.cgroup_parent,
            sysctls=dict(config.sysctls),
            security_context=_sandbox_security(config.security),
        ),
    )


def _sandbox_security(security: Security) -> Any:
    return cri.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(security.namespaces),
        run_as_user=_int64(security.user),
        run_as_group=_int64(security.group),
        supplemental_groups=security.supplemental_groups,
        privileged=security.privileged,
        seccomp=_seccomp(security.seccomp),
    )


def _namespaces(namespaces: Namespaces) -> Any:
    return cri.NamespaceOption(
        network=namespaces.network.value,
        pid=namespaces.pid.value,
        ipc=namespaces.ipc.value,
        target_id=namespaces.target,
    )


def _int64(value: int | None) -> Any:
    return None if value is None else cri.Int64Value(value=value)


def _seccomp(profile: Seccomp | None) -> Any:
    if profile is None:
        return None
    return cri.SecurityProfile(profile_type=_SECCOMP[profile.kind], localhost_ref=profile.file)


def container_config(config: ContainerConfig) -> Any:
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=config.name, attempt=config.attempt),
        image=cri.ImageSpec(image=config.image, user_specified_image=config.user_image),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[cri.KeyValue(key=key, value=value) for key, value in config.env],
        mounts=[
            cri.Mount(
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.readonly,
                propagation=mount.propagation.value,
                recursive_read_only=mount.recursive_readonly,
                image=cri.ImageSpec(image=mount.image) if mount.image else None,
                image_sub_path=mount.image_path,
            )
            for mount in config.mounts
        ],
        devices=[
            cri.Device(
                container_path=device.container_path,
                host_path=device.host_path,
                permissions=device.permissions,
            )
            for device in config.devices
        ],
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        log_path=config.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        linux=cri.LinuxContainerConfig(
            resources=resources(config.resources), security_context=_container_security(config.security)
        ),
    )


def resources(limits: Resources) -> Any:
    return cri.LinuxContainerResources(
        cpu_period=limits.cpu_period,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory_bytes,
        oom_score_adj=limits.oom_score_adj,
    )


def _container_security(security: Security) -> Any:
    return cri.LinuxContainerSecurityContext(
        capabilities=cri.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        privileged=security.privileged,
        namespace_options=_namespaces(security.namespaces),
        run_as_user=_int64(security.user),
        run_as_group=_int64(security.group),
        run_as_username=security.username,
        readonly_rootfs=security.readonly_rootfs,
        supplemental_groups=security.supplemental_groups,
        no_new_privs=security.no_new_privs,
        masked_paths=security.masked_paths,
        readonly_paths=security.readonly_paths,
        seccomp=_seccomp(security.seccomp),
    )


def sandbox(message: Any) -> Sandbox:
    """From a list's entry."""
    meta = message.metadata
    return Sandbox(
        id=message.id,
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        attempt=meta.attempt,
        ready=message.state == cri.SANDBOX_READY,
        created_at=message.created_at,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
    )


def sandbox_status(message: Any) -> Sandbox:
    meta = message.metadata
    network = message.network
    ips = [network.ip] if network.ip else []
    return Sandbox(
        id=message.id,
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        attempt=meta.attempt,
        ready=message.state == cri.SANDBOX_READY,
        created_at=message.created_at,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        ips=tuple(ips + [entry.ip for entry in network.additional_ips]),
        host_network=message.linux.namespaces.options.network == Namespace.NODE.value,
    )


def container(message: Any) -> Container:
    return Container(
        id=message.id,
        sandbox_id=message.pod_sandbox_id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        state=ContainerState(message.state),
        image_ref=message.image_ref,
        created_at=message.created_at,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
    )


def container_status(message: Any) -> ContainerStatus:
    user = message.user.linux if message.HasField("user") and message.user.HasField("linux") else None
    return ContainerStatus(
        id=message.id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        state=ContainerState(message.state),
        created_at=message.created_at,
        started_at=message.started_at,
        finished_at=message.finished_at,
        exit_code=message.exit_code,
        reason=message.reason,
        message=message.message,
        image=message.image.image,
        image_ref=message.image_ref,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        log_path=message.log_path,
        user=(user.uid, user.gid, tuple(user.supplemental_groups)) if user else None,
    )


def container_stats(message: Any) -> ContainerStats:
    labels = message.attributes.labels
    return ContainerStats(
        id=message.attributes.id,
        name=message.attributes.metadata.name,
        pod_uid=labels.get(POD_UID, ""),
        timestamp=message.cpu.timestamp,
        cpu_nanoseconds=message.cpu.usage_core_nano_seconds.value,
        memory_working_set=message.memory.working_set_bytes.value,
        memory_usage=message.memory.usage_bytes.value,
        memory_rss=message.memory.rss_bytes.value,
        writable_layer_bytes=message.writable_layer.used_bytes.value,
    )


def image(message: Any) -> Image:
    return Image(
        id=message.id,
        tags=tuple(message.repo_tags),
        digests=tuple(message.repo_digests),
        size=message.size,
        uid=message.uid.value if message.HasField("uid") else None,
        username=message.username,
        pinned=message.pinned,
    )
