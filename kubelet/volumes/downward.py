"""downwardAPI: the pod's own fields and resources as files; they follow the pod."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import fields
from ..pod import DownwardFile
from . import atomic
from .atomic import Projected
from .config_map import DEFAULT_MODE
from .volume import Request, VolumeFailure


async def set_up(request: Request) -> Path:
    source = request.volume.downward
    assert source is not None
    mode = DEFAULT_MODE if source.default_mode is None else source.default_mode
    files = payload(request, source.items, mode)
    request.folder.mkdir(parents=True, exist_ok=True)
    atomic.write(request.folder, files, request.clock.now(), request.entropy.suffix(), request.fs_group)
    return request.folder


def payload(request: Request, items: Sequence[DownwardFile], mode: int) -> dict[str, Projected]:
    """Raises VolumeFailure for a field that cannot be asked for."""
    return {
        item.path: Projected(_text(request, item).encode(), mode if item.mode is None else item.mode)
        for item in items
    }


def _text(request: Request, item: DownwardFile) -> str:
    try:
        if item.field_ref is not None:
            return fields.value(request.pod, item.field_ref.field_path, (), ())
        if item.resource_field_ref is not None:
            return fields.resource(request.pod, None, item.resource_field_ref, request.allocatable)
    except fields.FieldError as error:
        raise VolumeFailure(str(error)) from error
    return ""
