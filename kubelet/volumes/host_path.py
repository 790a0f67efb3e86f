"""hostPath: a file or folder of the node, checked or made as its type says."""

from __future__ import annotations

from pathlib import Path

from ..pod import HostPathSource
from .volume import Request, VolumeFailure

_CHECKS = {
    "Directory": (Path.is_dir, "a directory"),
    "File": (Path.is_file, "a file"),
    "Socket": (Path.is_socket, "a socket file"),
    "CharDevice": (Path.is_char_device, "a character device"),
    "BlockDevice": (Path.is_block_device, "a block device"),
}


async def set_up(request: Request) -> Path:
    source = request.volume.host_path
    assert source is not None
    return at(source)


def at(source: HostPathSource) -> Path:
    """Raises VolumeFailure where it is not what its type says."""
    path = Path(source.path)
    if source.type == "DirectoryOrCreate":
        _check(path, "Directory") if path.exists() else path.mkdir(mode=0o755, parents=True)
    elif source.type == "FileOrCreate":
        _check(path, "File") if path.exists() else path.touch(mode=0o644)
    elif source.type:
        _check(path, source.type)
    return path


def _check(path: Path, kind: str) -> None:
    found = _CHECKS.get(kind)
    if found is None:
        raise VolumeFailure(f"{kind} is an invalid volume type")
    passes, description = found
    if not passes(path):
        raise VolumeFailure(f"hostPath type check failed: {path} is not {description}")
