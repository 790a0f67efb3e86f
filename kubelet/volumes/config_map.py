"""configMap: its keys as files; they follow the object."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from kplane.api.types import ConfigMap

from ..pod import KeyToPath
from . import atomic
from .atomic import Projected
from .volume import Request, VolumeFailure

DEFAULT_MODE = 0o644


async def set_up(request: Request) -> Path:
    source = request.volume.config_map
    assert source is not None
    mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
    files = await payload(request, source.name, source.items, source.optional, mode)
    request.folder.mkdir(parents=True, exist_ok=True)
    atomic.write(request.folder, files, request.clock.now(), request.entropy.suffix(), request.fs_group)
    return request.folder


async def payload(
    request: Request, name: str, items: Sequence[KeyToPath], optional: bool, mode: int
) -> dict[str, Projected]:
    """Files of a ConfigMap: all keys, or the chosen ones. Raises VolumeFailure for what is missing."""
    found = await request.config_map(name)
    if found is None:
        if optional:
            return {}
        raise VolumeFailure(f'configmap "{name}" not found')
    return chosen(contents(found), items, optional, mode, "configmap references non-existent config key")


def contents(config_map: ConfigMap) -> dict[str, bytes]:
    plain = {key: text.encode() for key, text in config_map.data.items()}
    return plain | {key: base64.b64decode(text) for key, text in config_map.binary_data.items()}


def chosen(
    data: Mapping[str, bytes], items: Sequence[KeyToPath], optional: bool, mode: int, missing: str
) -> dict[str, Projected]:
    """`items` map keys to paths and modes; without any, every key is a file of its own name."""
    if not items:
        return {key: Projected(value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item.key in data:
            files[item.path] = Projected(data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise VolumeFailure(f"{missing}: {item.key}")
    return files
