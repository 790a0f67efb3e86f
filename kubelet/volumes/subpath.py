"""subPath: mounting a part of a volume, safely.

A container may swap a folder of its volume for a symbolic link to anywhere between our check and the
runtime's mount. Hence the path is opened part by part without following links, and what is mounted is a bind
mount of that open file. Source: the kubelet's `volume/util/subpath` (CVE-2017-1002101).
"""

from __future__ import annotations

import os
from pathlib import Path

from . import mounts
from .volume import VolumeFailure


def prepare(volume: Path, sub_path: str, target: Path) -> Path:
    """Bind `sub_path` of the volume (made as a folder if missing) to `target`.

    Raises VolumeFailure, OSError.
    """
    if Path(sub_path).is_absolute():
        raise VolumeFailure(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in Path(sub_path).parts:
        raise VolumeFailure(f"unable to provision SubPath `{sub_path}`: must not contain '..'")
    base = volume.resolve()
    wanted = (base / sub_path).resolve()
    if not wanted.is_relative_to(base):
        raise VolumeFailure(f"subpath {str(wanted)!r} not within volume path {str(base)!r}")
    descriptor = _open(base, wanted.relative_to(base).parts)
    try:
        _make_target(target, is_folder=Path(f"/proc/self/fd/{descriptor}").is_dir())
        mounts.bind(f"/proc/self/fd/{descriptor}", target)
    finally:
        os.close(descriptor)
    return target


def _open(base: Path, parts: tuple[str, ...]) -> int:
    current = os.open(base, os.O_PATH | os.O_DIRECTORY)
    for part in parts:
        try:
            if not _exists(current, part):
                os.mkdir(part, 0o750, dir_fd=current)
            following = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _make_target(target: Path, *, is_folder: bool) -> None:
    if target.exists():
        mounts.unmount(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        target.mkdir()
    else:
        target.touch()
