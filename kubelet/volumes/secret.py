"""secret: its keys as files, in memory where the machine permits; they follow the object."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from ..pod import KeyToPath
from . import atomic, mounts
from .atomic import Projected
from .config_map import DEFAULT_MODE, chosen
from .volume import Request, VolumeFailure


async def set_up(request: Request) -> Path:
    source = request.volume.secret
    assert source is not None
    mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
    files = await payload(request, source.secret_name, source.items, source.optional, mode)
    in_memory(request.folder)
    atomic.write(request.folder, files, request.clock.now(), request.entropy.suffix(), request.fs_group)
    return request.folder


async def payload(
    request: Request, name: str, items: Sequence[KeyToPath], optional: bool, mode: int
) -> dict[str, Projected]:
    """Files of a Secret. Raises VolumeFailure for what is missing."""
    found = await request.secret(name)
    if found is None:
        if optional:
            return {}
        raise VolumeFailure(f'secret "{name}" not found')
    data = {key: base64.b64decode(text) for key, text in found.data.items()}
    return chosen(data, items, optional, mode, "references non-existent secret key")


def in_memory(folder: Path) -> None:
    """Make the volume's folder, on a tmpfs of its own if that is permitted."""
    if not folder.exists():
        folder.mkdir(parents=True)
        mounts.tmpfs(folder)
        folder.chmod(0o777)
