"""A pod's /etc/hosts, in the pod's folder, mounted into every container that does not bring its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import sandbox
from .pod import Container, HostAlias, Pod
from .runtime.interface import Mount

_HEAD = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def content(pod: Pod, ips: Sequence[str], domain: str) -> str:
    """The file's text for a pod with its own network."""
    name, full = sandbox.hostname(pod, domain)
    names = f"{name}.{full}\t{name}" if full else name
    lines = "".join(f"{ip}\t{names}\n" for ip in ips)
    return _HEAD + lines + _aliases(pod.spec.host_aliases)


def _aliases(aliases: Sequence[HostAlias]) -> str:
    if not aliases:
        return ""
    lines = "".join(f"{entry.ip}\t{chr(9).join(entry.hostnames)}\n" for entry in aliases)
    return f"\n# Entries added by HostAliases.\n{lines}"


def write(pod: Pod, ips: Sequence[str], domain: str, folder: Path) -> Path:
    """Write the file and return its path. With the host's network it is the host's file and the aliases."""
    path = folder / "etc-hosts"
    text = content(pod, ips, domain)
    if pod.spec.host_network:
        host = Path("/etc/hosts")
        head = "# Kubernetes-managed hosts file (host network).\n"
        text = head + (host.read_text() if host.exists() else "") + _aliases(pod.spec.host_aliases)
    path.write_text(text)
    path.chmod(0o644)
    return path


def mount(container: Container, path: Path) -> list[Mount]:
    if any(entry.mount_path == "/etc/hosts" for entry in container.volume_mounts):
        return []
    return [Mount("/etc/hosts", str(path))]
