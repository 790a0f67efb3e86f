"""persistentVolumeClaim and ephemeral: the PersistentVolume behind the claim, if its source is of this node.

hostPath and local volumes are used where they lie. What needs a driver (CSI, NFS, …) is refused.
Source: the kubelet's `volume/hostpath` and `volume/local`.
"""

from __future__ import annotations

from pathlib import Path

from .host_path import at
from .volume import Request, VolumeFailure, give_to_group


async def set_up(request: Request) -> Path:
    volume = await request.persistent_volume()
    source = volume.spec
    if source.host_path is not None:
        return at(source.host_path)
    if source.local is not None:
        path = Path(source.local.path)
        if not path.exists():
            raise VolumeFailure(f'path "{path}" does not exist')
        if request.fs_group is not None and path.is_dir():
            give_to_group(path, request.fs_group, writable=True)
        return path
    raise VolumeFailure(f"no volume plugin matched name: {volume.metadata.name}")
