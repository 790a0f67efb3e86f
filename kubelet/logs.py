"""Where container logs are: `<pod logs dir>/<namespace>_<name>_<uid>/<container>/<restart>.log`.

The runtime writes them in the CRI log format; the node server reads them.
"""

from __future__ import annotations

from pathlib import Path


def pod_log_dir(pod_logs_dir: Path, namespace: str, name: str, uid: str) -> Path:
    return pod_logs_dir / f"{namespace}_{name}_{uid}"


def container_log(pod_dir: Path, container: str, attempt: int) -> Path:
    """The log of the container's run number `attempt` (0 is the first)."""
    return pod_dir / relative(container, attempt)


def relative(container: str, attempt: int) -> str:
    """The path within the pod's log folder, which is what CRI is told."""
    return f"{container}/{attempt}.log"


def runs(pod_dir: Path, container: str) -> list[int]:
    """Restart numbers of which a log is kept, oldest first."""
    found = (path.stem for path in (pod_dir / container).glob("*.log"))
    return sorted(int(stem) for stem in found if stem.isdigit())
