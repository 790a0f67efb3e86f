"""The checks of level baseline: what would give a pod power over its node.

Rules and words: pod-security-admission `policy`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.resource import Object

from .subject import Check, Finding, Subject, containers, plural, quoted, setters

CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_notsent_lowat": 37,
}
"""Harmless sysctls, and the version since which they count as such."""
SELINUX_TYPES = {
    "": 0,
    "container_t": 0,
    "container_init_t": 0,
    "container_kvm_t": 0,
    "container_engine_t": 31,
}
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def app_armor(subject: Subject) -> Finding | None:
    """Profiles are in annotations, too: there, each is told with its key."""
    forbidden: set[str] = set()

    def bad(own: Object) -> bool:
        profile = own.get("appArmorProfile")
        kind = (profile or {}).get("type") or ""
        if profile is None or kind in ("RuntimeDefault", "Localhost"):
            return False
        forbidden.add(kind)
        return True

    who = setters(bad(subject.security), subject.names(bad))
    annotations = sorted((subject.metadata.get("annotations") or {}).items())
    noted = [
        f'{key}="{value}"'
        for key, value in annotations
        if key.startswith(APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    ]
    values = [*sorted(forbidden), *noted]
    if not values:
        return None
    everybody = " and ".join(filter(None, (who, plural("annotation", noted) if noted else "")))
    detail = f"{everybody} must not set AppArmor profile type to {quoted(values)}"
    return Finding(plural("forbidden AppArmor profile", values), detail)


def capabilities(subject: Subject) -> Finding | None:
    bad, added = [], set()
    for container in subject.containers:
        own = container.get("securityContext") or {}
        forbidden = set((own.get("capabilities") or {}).get("add") or []) - CAPABILITIES
        if forbidden:
            bad.append(container["name"])
            added |= forbidden
    if not bad:
        return None
    what = f"{containers(bad)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Finding("non-default capabilities", what)


def host_namespaces(subject: Subject) -> Finding | None:
    shared = [name for name in ("hostNetwork", "hostPID", "hostIPC") if subject.spec.get(name)]
    return Finding("host namespaces", ", ".join(f"{name}=true" for name in shared)) if shared else None


def host_path(subject: Subject) -> Finding | None:
    names = [
        volume["name"] for volume in subject.spec.get("volumes") or [] if volume.get("hostPath") is not None
    ]
    return Finding("hostPath volumes", f"{plural('volume', names)} {quoted(names)}") if names else None


def host_ports(subject: Subject) -> Finding | None:
    bad, ports = [], set()
    for container in subject.containers:
        own = {str(port["hostPort"]) for port in container.get("ports") or [] if port.get("hostPort")}
        if own:
            bad.append(container["name"])
            ports |= own
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    listed = sorted(ports)
    return Finding("hostPort", f"{containers(bad)} {uses} {plural('hostPort', listed)} {', '.join(listed)}")


def host_probes(subject: Subject) -> Finding | None:
    """Since v1.34: a probe of another host lets the kubelet knock on its doors."""
    if subject.version < 34:
        return None
    bad, hosts = [], set()
    for container in subject.containers:
        own = {host for host in _probed_hosts(container) if host}
        if own:
            bad.append(container["name"])
            hosts |= own
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    listed = sorted(hosts)
    detail = (
        f"{containers(sorted(set(bad)))} {uses} probe or lifecycle {plural('host', listed)} {quoted(listed)}"
    )
    return Finding("probe or lifecycle host", detail)


def _probed_hosts(container: Object) -> Iterator[str]:
    lifecycle = container.get("lifecycle") or {}
    actions = [container.get(name) for name in PROBES] + [
        lifecycle.get("postStart"),
        lifecycle.get("preStop"),
    ]
    for action in actions:
        for kind in ("httpGet", "tcpSocket"):
            yield ((action or {}).get(kind) or {}).get("host") or ""


def privileged(subject: Subject) -> Finding | None:
    bad = subject.names(lambda own: own.get("privileged"))
    if not bad:
        return None
    return Finding("privileged", f"{containers(bad)} must not set securityContext.privileged=true")


def proc_mount(subject: Subject) -> Finding | None:
    """Since v1.35 a pod in a user namespace of its own may unmask it."""
    if subject.version >= 35 and subject.in_user_namespace:
        return None
    return masked_proc(subject)


def masked_proc(subject: Subject) -> Finding | None:
    values: set[str] = set()
    bad = []
    for container in subject.containers:
        value = (container.get("securityContext") or {}).get("procMount")
        if value not in (None, "Default"):
            bad.append(container["name"])
            values.add(value)
    if not bad:
        return None
    return Finding(
        "procMount", f"{containers(bad)} must not set securityContext.procMount to {quoted(sorted(values))}"
    )


def se_linux(subject: Subject) -> Finding | None:
    types: set[str] = set()
    user = role = False

    def bad(own: Object) -> bool:
        nonlocal user, role
        options = own.get("seLinuxOptions") or {}
        kind = options.get("type") or ""
        forbidden = SELINUX_TYPES.get(kind, subject.version + 1) > subject.version
        if forbidden:
            types.add(kind)
        user, role = user or bool(options.get("user")), role or bool(options.get("role"))
        return forbidden or bool(options.get("user")) or bool(options.get("role"))

    who = setters(bad(subject.security), subject.names(bad))
    if not who:
        return None
    parts = [f"{plural('type', list(types))} {quoted(sorted(types))}"] if types else []
    parts += ["user may not be set"] if user else []
    parts += ["role may not be set"] if role else []
    return Finding(
        "seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
    )


def seccomp(subject: Subject) -> Finding | None:
    if subject.version < 19:
        return _seccomp_annotations(subject)
    who = setters(_unconfined(subject.security), subject.names(_unconfined))
    if not who:
        return None
    return Finding(
        "seccompProfile", f'{who} must not set securityContext.seccompProfile.type to "Unconfined"'
    )


def _unconfined(own: Object) -> bool:
    return (own.get("seccompProfile") or {}).get("type") == "Unconfined"


def _seccomp_annotations(subject: Subject) -> Finding | None:
    """Before v1.19 profiles were annotations."""
    annotations = subject.metadata.get("annotations") or {}
    keys = {SECCOMP_POD, *(SECCOMP_CONTAINER + one["name"] for one in subject.containers)}
    bad = [
        f'{key}="{annotations[key]}"'
        for key in sorted(keys & annotations.keys())
        if annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    ]
    return (
        Finding("seccompProfile", f"forbidden {plural('annotation', bad)} {', '.join(bad)}") if bad else None
    )


def sysctls(subject: Subject) -> Finding | None:
    names = [entry["name"] for entry in subject.security.get("sysctls") or []]
    bad = [name for name in names if SYSCTLS.get(name, subject.version + 1) > subject.version]
    return Finding("forbidden sysctls", ", ".join(bad)) if bad else None


def windows_host_process(subject: Subject) -> Finding | None:
    def bad(own: Object) -> bool:
        return bool((own.get("windowsOptions") or {}).get("hostProcess"))

    who = setters(bad(subject.security), subject.names(bad))
    detail = f"{who} must not set securityContext.windowsOptions.hostProcess=true"
    return Finding("hostProcess", detail) if who else None


CHECKS: dict[str, Check] = {
    "appArmorProfile": app_armor,
    "capabilities_baseline": capabilities,
    "hostNamespaces": host_namespaces,
    "hostPathVolumes": host_path,
    "hostPorts": host_ports,
    "hostProbesAndHostLifecycle": host_probes,
    "privileged": privileged,
    "procMount": proc_mount,
    "seLinuxOptions": se_linux,
    "seccompProfile_baseline": seccomp,
    "sysctls": sysctls,
    "windowsHostProcess": windows_host_process,
}
"""By upstream's names, in the order in which findings are told."""
