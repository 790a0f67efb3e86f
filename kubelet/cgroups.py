"""The cgroup of each pod: `<root>/kubepods[/burstable|/besteffort]/pod<uid>`, cgroupfs driver, v1 and v2.

Owns those folders: containers' cgroups are made below them by the runtime. Pod-level limits are written here.
Where the hierarchy cannot be written (no root), pods run without one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from . import resources
from .pod import Pod
from .runtime.interface import Resources

_QOS_FOLDER = {
    resources.GUARANTEED: "",
    resources.BURSTABLE: "burstable",
    resources.BEST_EFFORT: "besteffort",
}


def pod_cgroup(root: str, pod: Pod) -> str:
    """The cgroup's path within the hierarchy, as CRI is told."""
    return str(Path(root, "kubepods", _QOS_FOLDER[resources.qos_class(pod)], f"pod{pod.metadata.uid}"))


class Cgroups:
    """The hierarchies mounted on this machine."""

    def __init__(self, root: str, mount: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        unified = (mount / "cgroup.controllers").exists()
        self._v1 = not unified
        tops = [mount] if unified else [path for path in mount.iterdir() if path.is_dir()]
        self._tops = [path for path in tops if path.name != "unified"]

    def create(self, pod: Pod) -> None:
        """Make the pod's cgroups and set their limits. Safe to repeat. Raises OSError."""
        path = pod_cgroup(self._root, pod).lstrip("/")
        for top in self._tops:
            folder = top / path
            if not folder.exists():
                folder.mkdir(parents=True)
                if top.name == "cpuset" and self._v1:
                    _inherit_cpuset(top, folder)
        self._write(path, resources.for_pod(pod))

    def limit(self, pod: Pod, also: Pod) -> None:
        """Bring the pod's limits to the larger of what the two need. Raises OSError."""
        path = pod_cgroup(self._root, pod).lstrip("/")
        self._write(path, resources.larger(resources.for_pod(pod), resources.for_pod(also)))

    def _write(self, path: str, limits: Resources) -> None:
        if self._v1:
            self._write_v1(path, limits)
        else:
            self._write_v2(path, limits)

    def pod_uids(self) -> set[str]:
        """Pods of which a cgroup is left."""
        found = set()
        for top in self._tops:
            kubepods = top / self._root.lstrip("/") / "kubepods"
            for pattern in ("pod*", "burstable/pod*", "besteffort/pod*"):
                found |= {path.name.removeprefix("pod") for path in kubepods.glob(pattern)}
        return found

    def remove(self, uid: str) -> None:
        """Remove the pod's cgroups; nothing may run in them any more."""
        for top in self._tops:
            for name in _QOS_FOLDER.values():
                folder = top / self._root.lstrip("/") / "kubepods" / name / f"pod{uid}"
                for leaf, _, _ in os.walk(folder, topdown=False):
                    # A folder that is still in use goes with the next clean-up.
                    with contextlib.suppress(OSError):
                        Path(leaf).rmdir()

    def _write_v1(self, path: str, limits: Resources) -> None:
        values = {
            "cpu/cpu.shares": str(limits.cpu_shares),
            "cpu/cpu.cfs_period_us": str(limits.cpu_period),
            "cpu/cpu.cfs_quota_us": str(limits.cpu_quota or -1),
            "memory/memory.limit_in_bytes": str(limits.memory_bytes or -1),
        }
        for name, value in values.items():
            controller, _, file = name.partition("/")
            top = next((entry for entry in self._tops if controller in entry.name.split(",")), None)
            if top is not None:
                (top / path / file).write_text(value)

    def _write_v2(self, path: str, limits: Resources) -> None:
        folder = self._tops[0]
        for part in Path(path).parts:
            (folder / "cgroup.subtree_control").write_text("+cpu +memory +pids")
            folder /= part
        weight = 1 + (limits.cpu_shares - 2) * 9999 // 262_142
        (folder / "cpu.weight").write_text(str(weight))
        (folder / "cpu.max").write_text(f"{limits.cpu_quota or 'max'} {limits.cpu_period}")
        (folder / "memory.max").write_text(str(limits.memory_bytes or "max"))


def _inherit_cpuset(top: Path, folder: Path) -> None:
    """A new cpuset is empty, and nothing can run in it: copy the parent's, from the top down."""
    current = top
    for part in folder.relative_to(top).parts:
        parent, current = current, current / part
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not (current / name).read_text().strip():
                (current / name).write_text((parent / name).read_text().strip())
