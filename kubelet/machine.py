"""Facts about this machine for the Node: capacity, kernel, identifiers. Reads /proc, /sys and /etc."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from kplane.runtime.oci import architecture


@dataclass(frozen=True)
class Machine:
    cpus: int
    memory: int
    """Bytes."""
    disk: int
    """Bytes of the file system that holds the kubelet's folder."""
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str


def read(root_dir: Path) -> Machine:
    root_dir.mkdir(parents=True, exist_ok=True)
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=_memory(),
        disk=shutil.disk_usage(root_dir).total,
        architecture=architecture(),
        kernel=platform.release(),
        os_image=_os_release().get("PRETTY_NAME", "Linux"),
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
    )


def hollow() -> Machine:
    """What a hollow node pretends to be: larger than a test's pods need."""
    return Machine(
        cpus=32,
        memory=256 << 30,
        disk=1 << 40,
        architecture=architecture(),
        kernel=platform.release(),
        os_image="Hollow",
        machine_id="",
        system_uuid="",
        boot_id="",
    )


def _memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in _text("/etc/os-release").splitlines())
    return {key: value.strip('"') for key, _, value in pairs}


def _text(path: str) -> str:
    """Empty where the file is missing or secret: containers and virtual machines lack some."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
