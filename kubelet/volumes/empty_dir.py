"""emptyDir: a folder that lives as long as the pod, on disk or in memory."""

from __future__ import annotations

from pathlib import Path

from kplane.api import quantity

from . import mounts
from .volume import Request, give_to_group


async def set_up(request: Request) -> Path:
    source = request.volume.empty_dir
    assert source is not None
    if request.folder.exists():
        return request.folder
    request.folder.mkdir(parents=True)
    request.folder.chmod(0o777)
    if source.medium == "Memory":
        limit = quantity.units(source.size_limit) if source.size_limit is not None else 0
        mounts.tmpfs(request.folder, limit)
    if request.fs_group is not None:
        give_to_group(request.folder, request.fs_group, writable=True)
    return request.folder
