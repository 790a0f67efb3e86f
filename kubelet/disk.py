"""What a pod has on the node's disk: its folder, volumes, hosts file, last words, logs, cgroups.

Owns `<root>/pods/<uid>` and the pod's log folder. `Disk` is a Protocol because hollow nodes have none.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError
from kplane.api.types import ConfigMap, Secret

from . import hosts, logs
from .cgroups import Cgroups
from .claims import ClaimCache
from .config import KubeletConfig
from .environment import expand
from .objects import ObjectCache
from .pod import Container, Pod, Volume, VolumeMount
from .runtime.interface import Mount, Propagation
from .tokens import TokenCache
from .volumes import mounts, subpath
from .volumes.registry import KINDS
from .volumes.volume import Request, VolumeFailure

NOTE = "allocation.json"
"""In the pod's folder: what `allocation.py` keeps."""

PROPAGATIONS = {
    "None": Propagation.PRIVATE,
    "HostToContainer": Propagation.HOST_TO_CONTAINER,
    "Bidirectional": Propagation.BIDIRECTIONAL,
}


class Disk(Protocol):
    """Everything of a pod that is on disk. Raises OSError where the disk refuses."""

    def prepare(self, pod: Pod) -> None:
        """Folders, log folder and cgroups, before the sandbox is made."""

    async def set_up_volumes(self, pod: Pod, allocatable: Mapping[str, str]) -> dict[str, Path]:
        """Every volume's path; also brings files of ConfigMaps, Secrets and tokens up to date.
        Raises VolumeFailure with a message about the volume."""

    def mounts(
        self,
        pod: Pod,
        container: Container,
        volumes: Mapping[str, Path],
        env: Mapping[str, str],
        ips: Sequence[str],
    ) -> list[Mount]:
        """The container's mounts, /etc/hosts among them. Raises VolumeFailure."""  # fmt: skip

    def message_file(self, pod: Pod, container: Container, attempt: int) -> str:
        """An empty file for the container's last words."""

    def release(self, uid: str) -> None:
        """The pod has ended: unmount and remove its volumes and cgroups. Its logs stay."""

    def remove(self, uid: str) -> None:
        """The pod is gone: remove all that is left of it."""

    def pod_uids(self) -> set[str]:
        """Pods of which something is left."""

    def renew_at(self, uid: str) -> datetime | None:
        """When a volume of the pod must be set up again (its token is old); None if never."""

    def limit(self, pod: Pod, also: Pod) -> None:
        """Bring the pod's cgroup to the larger of what the two need: two sizes of the same pod."""

    def remember(self, uid: str, data: bytes) -> None:
        """Keep a note about the pod as long as the pod."""

    def recall(self, uid: str) -> bytes | None:
        """The note kept last."""


class NodeDisk:
    def __init__(
        self,
        config: KubeletConfig,
        cgroups: Cgroups | None,
        objects: ObjectCache,
        tokens: TokenCache,
        claims: ClaimCache,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._config, self._cgroups, self._objects = config, cgroups, objects
        self._tokens, self._claims = tokens, claims
        self._clock, self._entropy = clock, entropy

    def prepare(self, pod: Pod) -> None:
        meta = pod.metadata
        self._folder(meta.uid).mkdir(mode=0o750, parents=True, exist_ok=True)
        logs.pod_log_dir(self._config.pod_logs_dir, meta.namespace, meta.name, meta.uid).mkdir(
            mode=0o755, parents=True, exist_ok=True
        )
        if self._cgroups is not None:
            self._cgroups.create(pod)

    async def set_up_volumes(self, pod: Pod, allocatable: Mapping[str, str]) -> dict[str, Path]:
        return {volume.name: await self._set_up(pod, volume, allocatable) for volume in pod.spec.volumes}

    async def _set_up(self, pod: Pod, volume: Volume, allocatable: Mapping[str, str]) -> Path:
        kind = next((KINDS[field] for field in KINDS if getattr(volume, field) is not None), None)
        try:
            if kind is None:
                raise VolumeFailure("no volume plugin matched")
            folder = self._folder(pod.metadata.uid) / "volumes" / kind.folder / volume.name
            get = partial(self._objects.get, namespace=pod.metadata.namespace, pod_uid=pod.metadata.uid)
            request = Request(
                pod, volume, folder,
                config_map=lambda name: get(ConfigMap, name=name),
                secret=lambda name: get(Secret, name=name),
                token=lambda spec: self._tokens.get(pod, spec),
                persistent_volume=lambda: self._claims.get(pod, volume),
                allocatable=allocatable, clock=self._clock, entropy=self._entropy,
            )  # fmt: skip
            return await kind.set_up(request)
        except (VolumeFailure, ApiError, OSError) as error:
            raise VolumeFailure(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error

    def mounts(
        self,
        pod: Pod,
        container: Container,
        volumes: Mapping[str, Path],
        env: Mapping[str, str],
        ips: Sequence[str],
    ) -> list[Mount]:
        found = [
            self._mount(pod, container, index, entry, volumes, env)
            for index, entry in enumerate(container.volume_mounts)
        ]
        if not ips and not pod.spec.host_network:
            return found
        path = hosts.write(pod, ips, self._config.cluster_domain, self._folder(pod.metadata.uid))
        return found + hosts.mount(container, path)

    def _mount(
        self, pod: Pod, container: Container, index: int, mount: VolumeMount,
        volumes: Mapping[str, Path], env: Mapping[str, str],
    ) -> Mount:  # fmt: skip
        source = volumes.get(mount.name)
        if source is None:
            raise VolumeFailure(f'volume "{mount.name}" is not mounted')
        volume = next(entry for entry in pod.spec.volumes if entry.name == mount.name)
        sub_path = mount.sub_path or expand(mount.sub_path_expr, env)
        if volume.image is not None:
            where = str(Path("/") / mount.mount_path)
            return Mount(where, "", readonly=True, image=volume.image.reference, image_path=sub_path)
        if sub_path:
            place = Path("volume-subpaths", mount.name, container.name, str(index))
            source = subpath.prepare(source, sub_path, self._folder(pod.metadata.uid) / place)
        return Mount(
            container_path=str(Path("/") / mount.mount_path),
            host_path=str(source),
            readonly=mount.read_only or volume.read_only,
            propagation=PROPAGATIONS[mount.mount_propagation],
            recursive_readonly=mount.recursive_read_only == "Enabled",
        )

    def message_file(self, pod: Pod, container: Container, attempt: int) -> str:
        folder = self._folder(pod.metadata.uid) / "containers" / container.name
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = folder / f"{attempt}-{self._entropy.suffix(8)}"
        path.touch()
        # Any user of the container may write its last words.
        path.chmod(0o666)
        return str(path)

    def release(self, uid: str) -> None:
        folder = self._folder(uid)
        for point in mounts.mounted_below(folder):
            mounts.unmount(point)
        for part in ("volume-subpaths", "volumes"):
            shutil.rmtree(folder / part, ignore_errors=True)
        if self._cgroups is not None:
            self._cgroups.remove(uid)
        self._objects.release(uid)
        self._tokens.forget(uid)
        self._claims.forget(uid)

    def remove(self, uid: str) -> None:
        self.release(uid)
        shutil.rmtree(self._folder(uid), ignore_errors=True)
        if self._config.pod_logs_dir.exists():
            for path in self._config.pod_logs_dir.glob(f"*_{uid}"):
                shutil.rmtree(path, ignore_errors=True)

    def pod_uids(self) -> set[str]:
        pods = self._config.root_dir / "pods"
        found = {path.name for path in pods.iterdir()} if pods.exists() else set()
        return found | (self._cgroups.pod_uids() if self._cgroups else set())

    def renew_at(self, uid: str) -> datetime | None:
        return self._tokens.renewal(uid)

    def limit(self, pod: Pod, also: Pod) -> None:
        if self._cgroups is not None:
            self._cgroups.limit(pod, also)

    def remember(self, uid: str, data: bytes) -> None:
        folder = self._folder(uid)
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        fresh = folder / f"{NOTE}.new"
        fresh.write_bytes(data)
        fresh.rename(folder / NOTE)

    def recall(self, uid: str) -> bytes | None:
        try:
            return (self._folder(uid) / NOTE).read_bytes()
        except FileNotFoundError:
            return None

    def _folder(self, uid: str) -> Path:
        return self._config.pod_dir(uid)
