"""Recycling: a Pod empties a volume that nobody claims any more, so that somebody else can have it.

Reads: Pods, from an informer cache; one that has failed, live. Writes: Pods named `recycler-for-VOLUME` in
the namespace `default`. Elsewhere: the volume's phase (binder.py).

Invariant: a volume counts as emptied only after a Pod that this process made has succeeded; one that was
there before is deleted.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

from kplane.api.clock import Clock
from kplane.api.errors import AlreadyExists, ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume
from kplane.client.backoff import ItemBackoff
from kplane.client.informer import Informer
from kplane.client.rest import Client

from ..config import Config
from .matching import size

log = logging.getLogger(__name__)

NAMESPACE, PREFIX = "default", "recycler-for-"
GIBIBYTE = 1024**3
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 122.0
SCRUB = 'test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1'
TEMPLATE: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "spec": {
        "restartPolicy": "Never",
        "volumes": [{"name": "vol"}],
        "containers": [
            {
                "name": "pv-recycler",
                "image": "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6",
                "command": ["/bin/sh"],
                "args": ["-c", SCRUB],
                "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
            }
        ],
    },
}


class RecycleFailed(Exception):
    """The volume was not emptied; worded for its status."""


@dataclass(frozen=True)
class Progress:
    done: bool = False
    wait: float | None = None
    """Seconds until it is worth another look; None for until the Pod changes."""


def volume_of(pod: Pod) -> str:
    """The volume that a Pod empties, by its name; empty for any other Pod."""
    recycles = pod.metadata.namespace == NAMESPACE and pod.metadata.name.startswith(PREFIX)
    return pod.metadata.name.removeprefix(PREFIX) if recycles else ""


def recycler_pod(volume: PersistentVolume, config: Config) -> Object:
    nfs, path = volume.spec.nfs, volume.spec.host_path
    if nfs is not None:
        body = copy.deepcopy(config.pv_recycler_template_nfs or TEMPLATE)
        least, more = config.pv_recycler_minimum_timeout_nfs, config.pv_recycler_increment_timeout_nfs
        source: Object = {"nfs": {"server": nfs.server, "path": nfs.path}}
    else:
        assert path is not None
        body = copy.deepcopy(config.pv_recycler_template_hostpath or TEMPLATE)
        least = config.pv_recycler_minimum_timeout_hostpath
        more = config.pv_recycler_timeout_increment_hostpath
        source = {"hostPath": {"path": path.path}}
    seconds = max(int(size(volume.spec.capacity) // GIBIBYTE) * more, least)
    metadata = body.get("metadata") or {}
    metadata.pop("generateName", None)
    body["metadata"] = metadata | {"name": PREFIX + volume.metadata.name, "namespace": NAMESPACE}
    spec = body["spec"]
    spec["activeDeadlineSeconds"] = seconds
    spec["volumes"][0] = {"name": spec["volumes"][0].get("name", "vol")} | source
    return body


class Recycler:
    def __init__(self, client: Client, clock: Clock, config: Config, pods: Informer[Pod]) -> None:
        self._client, self._clock, self._config, self._pods = client, clock, config, pods
        self._backoff = ItemBackoff(FIRST_BACKOFF, LONGEST_BACKOFF)
        self._not_before: dict[str, float] = {}
        self._made: dict[str, str] = {}
        """Volume -> uid of the Pod that empties it."""

    async def step(self, volume: PersistentVolume) -> Progress:
        """One step towards an empty volume. Safe to repeat. Raises RecycleFailed."""
        name = volume.metadata.name
        try:
            progress = await self._step(volume)
        except (RecycleFailed, ApiError) as error:
            self._made.pop(name, None)
            self._not_before[name] = self._clock.monotonic() + self._backoff.delay(name)
            if isinstance(error, RecycleFailed):
                raise
            raise RecycleFailed(f"unexpected error creating recycler pod:  {error}") from error
        if progress.done:
            self._made.pop(name, None)
            self._not_before.pop(name, None)
            self._backoff.forget(name)
        return progress

    def wait(self, volume: PersistentVolume) -> float | None:
        """Seconds until a volume that could not be emptied may be tried again."""
        left = self._not_before.get(volume.metadata.name, 0.0) - self._clock.monotonic()
        return left if left > 0 else None

    async def _step(self, volume: PersistentVolume) -> Progress:
        name = volume.metadata.name
        uid, pod = self._made.get(name), self._pods.get(Key(NAMESPACE, PREFIX + name))
        if uid is None:
            return await self._start(volume)
        if pod is None or pod.metadata.uid != uid:
            return await self._look(name, uid)
        if pod.status.phase == "Succeeded":
            await self._delete(name, uid)
            log.info("recycled volume=%s", name)
            return Progress(done=True)
        if pod.status.phase == "Failed":
            raise RecycleFailed(await self._why(name, uid))
        return Progress()

    async def _start(self, volume: PersistentVolume) -> Progress:
        name = volume.metadata.name
        try:
            made = await self._client.create(Pod, recycler_pod(volume, self._config))
        except AlreadyExists as error:
            await self._delete(name)
            raise RecycleFailed("old recycler pod found, will retry later") from error
        self._made[name] = made.metadata.uid
        log.info("recycling volume=%s", name)
        return Progress()

    async def _look(self, name: str, uid: str) -> Progress:
        """The cache may only lag."""
        try:
            live = await self._client.get(Pod, PREFIX + name, NAMESPACE)
        except NotFound as error:
            raise RecycleFailed("recycler pod was deleted") from error
        if live.metadata.uid != uid:
            raise RecycleFailed("recycler pod was deleted")
        return Progress(wait=1.0)

    async def _why(self, name: str, uid: str) -> str:
        try:
            live = await self._client.get(Pod.API.as_type(dict), PREFIX + name, NAMESPACE)
        except NotFound:
            return "recycler pod was deleted"
        await self._delete(name, uid)
        return str(live["status"].get("message") or "pod failed, pod.Status.Message unknown")

    async def _delete(self, name: str, uid: str = "") -> None:
        try:
            await self._client.delete(Pod, PREFIX + name, NAMESPACE, uid=uid)
        except NotFound:
            return
