"""What a kubelet is told: one frozen value, made from the flags (`main.py`). Names are upstream's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kplane.api.resource import Object

VERSION = "v1.37.0+kplane"


@dataclass(frozen=True)
class KubeletConfig:
    node_name: str
    root_dir: Path
    pod_logs_dir: Path
    node_ips: tuple[str, ...] = ()
    pod_cidr: str = ""
    port: int = 10250
    cgroup_root: str = "/"
    cluster_dns: Sequence[str] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    register_node: bool = True
    node_labels: Mapping[str, str] = field(default_factory=dict)
    register_with_taints: Sequence[Object] = ()
    max_pods: int = 110
    node_status_update_frequency: float = 10
    """Seconds between looks at the node's state (upstream's default)."""
    node_status_report_frequency: float = 300
    """Seconds after which an unchanged status is sent all the same."""
    node_lease_duration_seconds: int = 40
    serialize_image_pulls: bool = True
    allowed_unsafe_sysctls: Sequence[str] = ()

    def pod_dir(self, uid: str) -> Path:
        return self.root_dir / "pods" / uid
