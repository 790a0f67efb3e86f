"""The configuration of a containerd that kplane starts for itself, apart from any other on the machine.

Pure; whoever starts containerd writes the text and imports `sandbox_image` (`kplane.runtime.pause`).
"""

from __future__ import annotations

from pathlib import Path

import msgspec

DISABLED = (
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
)
"""Parts that a node does not use; each costs start-up time and a warning."""


def config(root: Path, state: Path, socket: Path, cni_bin: Path, cni_conf: Path, sandbox_image: str) -> str:
    """The TOML text. containerd 1.6 and later read it (version 2 of the format).

    `restrict_oom_score_adj`: lowering it needs CAP_SYS_RESOURCE, which a container running kplane may lack.
    The streaming server listens on loopback only, on any free port. The network namespaces are mounted under
    `state`, so that removing the folder's mounts removes them all.
    """
    disabled = ", ".join(_quoted(name) for name in DISABLED)
    return f"""\
version = 2
root = {_quoted(root)}
state = {_quoted(state)}
disabled_plugins = [{disabled}]

[grpc]
  address = {_quoted(socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {_quoted(sandbox_image)}
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  enable_unprivileged_ports = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {_quoted(cni_bin)}
    conf_dir = {_quoted(cni_conf)}

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _quoted(text: Path | str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's."""
    return msgspec.json.encode(str(text)).decode()
