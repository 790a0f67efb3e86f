"""The kernel's mounts: tmpfs, bind, unmount. Owns the only system calls of the kubelet's volumes."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

MS_BIND = 4096
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def tmpfs(target: Path, size: int = 0) -> bool:
    """Mount a tmpfs of at most `size` bytes (half of memory if 0). False where that is not permitted:
    the folder then stays on disk."""
    options = f"mode=0777,size={size}" if size else "mode=0777"
    try:
        _mount("tmpfs", target, "tmpfs", 0, options)
    except PermissionError:
        return False
    return True


def bind(source: str, target: Path) -> None:
    """Raises OSError."""
    _mount(source, target, "", MS_BIND, "")


def mounted_below(folder: Path) -> list[Path]:
    """Mount points at or below a folder, deepest first."""
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in table]
    return sorted((point for point in points if point.is_relative_to(folder)), reverse=True)


def unmount(target: Path) -> None:
    """Detach; what is not mounted is no failure."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise OSError(number, os.strerror(number), str(target))


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode() or None
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))
