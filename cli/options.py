"""What `kplane up` was asked for, and the choices that follow from the machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path

from kplane.runtime import addresses
from kplane.runtime.process import Fatal


class StoreKind(StrEnum):
    SQLITE = "sqlite"
    ETCD = "etcd"


class Runtime(StrEnum):
    AUTO = "auto"
    CONTAINERD = "containerd"
    SHIM = "shim"
    HOLLOW = "hollow"


LOOPBACK = "127.0.0.1"
CGROUP = "/kplane"
NEEDED_BY_CONTAINERD = ("containerd", "runc", "nft")
CNI_FOLDERS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"), Path("/usr/libexec/cni"))


@dataclass(frozen=True)
class Options:
    """The options of one cluster. `runtime` is never `auto` here: `choose_runtime` has decided."""

    port: int
    store: StoreKind
    etcd_servers: str
    runtime: Runtime
    nodes: int
    node_name: str
    address: str = LOOPBACK
    """Under which API server and kubelet are reached by others."""
    bind_address: str = LOOPBACK
    """Where the API server listens, `address` beside it."""
    service_cidr: str = "10.96.0.0/16"
    pod_cidr: str = "10.244.0.0/24"
    cgroup_root: str = CGROUP
    """Below which the Pods' cgroups are, and nothing else's: it goes with the node."""
    metrics_server: bool = True
    verbosity: int = 0


def missing_for_containers() -> list[str]:
    """What this machine lacks to run real containers; empty if nothing."""
    missing = [] if os.geteuid() == 0 else ["root"]
    missing += [name for name in NEEDED_BY_CONTAINERD if find_program(name) is None]
    if cni_folder() is None:
        missing.append("CNI plug-ins")
    return missing


def find_program(name: str) -> str | None:
    """A program on PATH or in the system folders that an unprivileged PATH may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def cni_folder() -> Path | None:
    return next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), None)


ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


def reachable_at(bind_address: str) -> str:
    """The address that other machines know this one by, if the API server listens there. Raises Fatal."""
    try:
        address = ip_address(bind_address)
    except ValueError as error:
        raise Fatal(f"--bind-address {bind_address} is not an IP address") from error
    if not address.is_unspecified:
        return str(address)
    try:
        # Addresses of the documentation's range stand for all that is far away.
        return addresses.towards("2001:db8::1" if address.version == 6 else "203.0.113.1")
    except OSError as error:
        raise Fatal(
            f"cannot find out this machine's address ({error.strerror}); give it with --bind-address"
        ) from error


def node_address(runtime: Runtime, pod_cidr: str) -> str:
    """Where API server and kubelet are reached from Pods: the gateway of the Pods' bridge, which no other
    machine can reach; loopback where there are no real Pods."""
    return LOOPBACK if runtime is Runtime.HOLLOW else str(ip_network(pod_cidr)[1])


def choose_runtime(asked: Runtime) -> Runtime:
    """Containerd where it can run, else hollow. Raises Fatal where what was asked for cannot be had."""
    if asked is Runtime.HOLLOW:
        return asked
    if asked is Runtime.SHIM:
        raise Fatal("the shim runtime is not available yet; use --runtime containerd or --runtime hollow")
    missing = missing_for_containers()
    if not missing:
        return Runtime.CONTAINERD
    lacks = ", ".join(missing)
    if asked is Runtime.CONTAINERD:
        raise Fatal(
            f"--runtime containerd needs {lacks}; install it (Debian: apt-get install containerd runc "
            "containernetworking-plugins nftables) and run as root, or use --runtime hollow"
        )
    return Runtime.HOLLOW


def cgroup(path: str) -> str:
    """The path of a cgroup, not of a hierarchy's root: all below it goes with the node. Raises Fatal."""
    parts = path.split("/")
    if parts[0] or not parts[1:] or not all(parts[1:]) or {".", ".."} & set(parts):
        raise Fatal(f"--cgroup-root {path} is not an absolute path below / such as {CGROUP}")
    return path
