"""From a Pod to the runtime's sandbox configuration. Pure."""

from __future__ import annotations

from . import cgroups, dns, labels, logs, sysctls
from .config import KubeletConfig
from .pod import Container, Pod, SeccompProfile
from .runtime.interface import (
    Dns,
    Namespace,
    Namespaces,
    PortMapping,
    RuntimeFailure,
    SandboxConfig,
    Seccomp,
    Security,
)

KERNEL_NAME_LENGTH = 64


def identity(pod: Pod) -> dict[str, str]:
    """What identifies a pod's things in the runtime; also on its containers."""
    meta = pod.metadata
    return {
        labels.POD_NAME: meta.name,
        labels.POD_NAMESPACE: meta.namespace,
        labels.POD_UID: meta.uid,
    }


def sandbox_config(pod: Pod, attempt: int, config: KubeletConfig, node_dns: Dns) -> SandboxConfig:
    meta = pod.metadata
    return SandboxConfig(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        attempt=attempt,
        hostname="" if pod.spec.host_network else kernel_name(pod, config.cluster_domain),
        log_directory=str(logs.pod_log_dir(config.pod_logs_dir, meta.namespace, meta.name, meta.uid)),
        dns=dns.for_pod(pod, config, node_dns),
        ports=() if pod.spec.host_network else port_mappings(pod),
        labels=meta.labels | identity(pod),
        annotations=dict(meta.annotations),
        cgroup_parent=cgroups.pod_cgroup(config.cgroup_root, pod),
        security=_security(pod, config),
        sysctls={sysctls.normal(entry.name): entry.value for entry in pod.spec.security_context.sysctls},
    )


def hostname(pod: Pod, domain: str) -> tuple[str, str]:
    """The host name (at most 63 characters) and the DNS domain, which is empty without a subdomain."""
    if pod.spec.hostname_override:
        return pod.spec.hostname_override, ""
    name = pod.spec.hostname or pod.metadata.name[:63].rstrip("-.")
    full = ""
    if pod.spec.subdomain:
        full = f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"
    return name, full


def kernel_name(pod: Pod, domain: str) -> str:
    """What the kernel of the sandbox calls itself. Raises RuntimeFailure where it cannot be that long."""
    name, full = hostname(pod, domain)
    if not full or not pod.spec.set_hostname_as_fqdn:
        return name
    whole = f"{name}.{full}"
    if len(whole) > KERNEL_NAME_LENGTH:
        raise RuntimeFailure(
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long "
            f"({KERNEL_NAME_LENGTH} characters is the max, {len(whole)} characters requested)"
        )
    return whole


def port_mappings(pod: Pod) -> tuple[PortMapping, ...]:
    containers: list[Container] = [*pod.spec.containers]
    containers += [entry for entry in pod.spec.init_containers if entry.sidecar]
    return tuple(
        PortMapping(port.container_port, port.host_port, port.protocol, port.host_ip)
        for container in containers
        for port in container.ports
        if port.host_port
    )


def namespaces(pod: Pod, target: str = "") -> Namespaces:
    """`target`: the id of the container whose processes are to be seen, where the pod does not share them
    anyway."""
    spec = pod.spec
    pid = Namespace.TARGET if target else Namespace.CONTAINER
    if spec.host_pid:
        pid = Namespace.NODE
    elif spec.share_process_namespace:
        pid = Namespace.POD
    return Namespaces(
        network=Namespace.NODE if spec.host_network else Namespace.POD,
        pid=pid,
        ipc=Namespace.NODE if spec.host_ipc else Namespace.POD,
        target=target if pid is Namespace.TARGET else "",
    )


def seccomp(profile: SeccompProfile | None, config: KubeletConfig) -> Seccomp | None:
    """The runtime's profile; Localhost files lie in the kubelet's `seccomp` folder."""
    if profile is None:
        return None
    if profile.type == "Localhost":
        return Seccomp("Localhost", str(config.root_dir / "seccomp" / profile.localhost_profile))
    return Seccomp(profile.type)


def _security(pod: Pod, config: KubeletConfig) -> Security:
    context = pod.spec.security_context
    groups = list(context.supplemental_groups)
    if context.fs_group is not None:
        groups.append(context.fs_group)
    return Security(
        namespaces=namespaces(pod),
        user=context.run_as_user,
        group=context.run_as_group,
        supplemental_groups=tuple(groups),
        privileged=any(entry.security_context.privileged for entry in pod.all_containers()),
        seccomp=Seccomp("RuntimeDefault"),
    )
