"""What every kind of volume shares: the request, the failure, ownership, mount options of the machine."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Object
from kplane.api.types import ConfigMap, Secret

from ..persistentvolume import PersistentVolume
from ..pod import Pod, Volume


class VolumeFailure(Exception):
    """The volume cannot be set up now; the message follows `MountVolume.SetUp failed for volume "x" : `."""


@dataclass(frozen=True)
class Request:
    """One volume of one pod. `folder` is where its content goes, if it has any of its own."""

    pod: Pod
    volume: Volume
    folder: Path
    config_map: Callable[[str], Awaitable[ConfigMap | None]]
    secret: Callable[[str], Awaitable[Secret | None]]
    token: Callable[[Object], Awaitable[str]]
    """A service account token for a TokenRequest spec."""
    persistent_volume: Callable[[], Awaitable[PersistentVolume]]
    """What the volume's claim is bound to."""
    allocatable: Mapping[str, str]
    clock: Clock
    entropy: Entropy

    @property
    def fs_group(self) -> int | None:
        return self.pod.spec.security_context.fs_group


def give_to_group(path: Path, group: int, *, writable: bool) -> None:
    """fsGroup: the group may read (and write) everything; what is made in folders inherits it."""
    mask = 0o660 if writable else 0o440
    for folder, names, files in os.walk(path):
        for entry in [Path(folder), *(Path(folder) / name for name in [*names, *files])]:
            if entry.is_symlink():
                os.lchown(entry, -1, group)
                continue
            mode = entry.stat().st_mode & 0o7777
            os.chown(entry, -1, group)
            entry.chmod(mode | mask | (0o2110 if entry.is_dir() else 0))
