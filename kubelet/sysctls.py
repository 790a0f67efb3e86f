"""Which kernel parameters a pod may set on this node. Pure.

Safe ones are namespaced and cannot disturb other pods; further ones need --allowed-unsafe-sysctls.
Source: the kubelet's `sysctl/allowlist.go` and `sysctl/safe_sysctls.go`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .pod import Pod
from .status import Waiting

SAFE = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def refusal(pod: Pod, unsafe: Iterable[str]) -> Waiting | None:
    """Why the pod cannot run here. `unsafe`: names allowed beside the safe ones; `kernel.msg*` is one."""
    allowed = (*SAFE, *unsafe)
    for entry in pod.spec.security_context.sysctls:
        name = normal(entry.name)
        why = _why(pod, name, allowed)
        if why:
            return Waiting("SysctlForbidden", f'Pod was rejected: forbidden sysctl: "{entry.name}" {why}')
    return None


def normal(name: str) -> str:
    """With dots for separators: where a slash comes first, dots and slashes have changed places."""
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else name.translate({ord("/"): ".", ord("."): "/"})


def _why(pod: Pod, name: str, allowed: Iterable[str]) -> str:
    if not any(_matches(name, pattern) for pattern in allowed):
        return "not allowlisted"
    if pod.spec.host_network and name.startswith("net."):
        return "not allowed with host net enabled"
    if pod.spec.host_ipc and name.startswith(_IPC):
        return "not allowed with host ipc enabled"
    return ""


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
