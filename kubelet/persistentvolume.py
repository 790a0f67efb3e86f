"""PersistentVolumes and claims as the kubelet sees them."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Part, View

from .pod import HostPathSource


class _ClaimSpec(Part, frozen=True):
    volume_name: str = ""


class _ClaimStatus(Part, frozen=True):
    phase: str = ""


class PersistentVolumeClaim(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: _ClaimSpec = _ClaimSpec()
    status: _ClaimStatus = _ClaimStatus()


class LocalSource(Part, frozen=True):
    path: str


class _Reference(Part, frozen=True):
    uid: str = ""


class PersistentVolumeSpec(Part, frozen=True):
    """The sources that this kubelet can mount; any other leaves both empty."""

    host_path: HostPathSource | None = None
    local: LocalSource | None = None
    claim_ref: _Reference = _Reference()
    volume_mode: str = "Filesystem"


class PersistentVolume(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PersistentVolumeSpec = PersistentVolumeSpec()


PersistentVolumeClaim.API = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, PersistentVolumeClaim
)
PersistentVolume.API = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, PersistentVolume)
