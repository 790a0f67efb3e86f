"""Where a cluster keeps its files: the one place that knows the data folder's layout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kplane.runtime.process import Fatal

SOCKET_PATH_LIMIT = 107
"""Bytes that Linux allows in a Unix socket's path."""


@dataclass(frozen=True)
class Layout:
    """Paths below a cluster's data folder."""

    root: Path

    @property
    def admin_kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    @property
    def admin_conf(self) -> Path:
        """The administrator's kubeconfig of a control plane whose components run apart."""
        return self.root / "admin.conf"

    @property
    def administrator(self) -> Path:
        """Whichever of the two is there; the first if neither is."""
        apart = self.admin_conf.exists() and not self.admin_kubeconfig.exists()
        return self.admin_conf if apart else self.admin_kubeconfig

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def kubelet_config(self) -> Path:
        """What the cluster that this node has joined says to its kubelets."""
        return self.root / "kubelet-config.yaml"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def run(self) -> Path:
        """Sockets, the lock, and what the running supervisor left for `status` and `down`."""
        return self.root / "run"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def options(self) -> Path:
        """The options of the running cluster, as JSON. A file without a supervisor means that the supervisor
        was killed, and may have left containers."""
        return self.run / "options.json"

    def kubeconfig(self, component: str) -> Path:
        return self.root / "kubeconfig" / f"{component}.kubeconfig"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def make(self) -> None:
        """Create the folders, readable by their owner only. Raises Fatal."""
        longest = self.run / "containerd.sock.ttrpc"
        if len(os.fsencode(longest)) > SOCKET_PATH_LIMIT:
            raise Fatal(f"the data folder's path {self.root} is too long for sockets; choose a shorter one")
        _make(self.root, self.run, self.logs, self.root / "kubeconfig")

    def make_root(self) -> None:
        """Create the data folder alone, for files that no process here uses. Raises Fatal."""
        _make(self.root)


def _make(*folders: Path) -> None:
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(f"cannot create the data folder {folders[0]}: {error.strerror}") from error


def default_root() -> Path:
    """`/var/lib/kplane` for root, the user's data folder for everybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/kplane")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "kplane"
