"""Ephemeral volume controller: the claim of each generic ephemeral volume of a Pod, owned by the Pod.

Reads: Pods and claims, from informer caches. Writes: claims. Elsewhere: their end (the garbage collector).

Invariant: a claim that was not made for the Pod is never used or changed.
"""

from __future__ import annotations

import logging

from prometheus_client import Counter

from kplane.api.errors import AlreadyExists, ApiError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.core import Volume
from kplane.api.types.storage import PersistentVolumeClaim
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue, Terminal

from ..adoption import controller_reference
from ..batches import namespace_is_terminating
from .use import NotForPod, check_owner, claim_name, index_by_claim, users

log = logging.getLogger(__name__)

CREATES = Counter(
    "ephemeral_volume_controller_create_total", "Number of PersistentVolumeClaim creation requests"
)
FAILURES = Counter(
    "ephemeral_volume_controller_create_failures_total", "Number of PersistentVolumeClaim creation requests"
)


def claim_body(pod: Pod, volume: Volume) -> Object:
    """The claim of an ephemeral volume."""
    assert volume.ephemeral is not None
    template = volume.ephemeral.volume_claim_template
    metadata = template.get("metadata") or {}
    copied = {name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            **copied,
            "name": claim_name(pod, volume),
            "namespace": pod.metadata.namespace,
            "ownerReferences": [controller_reference(pod)],
        },
        "spec": template.get("spec") or {},
    }


class EphemeralVolumeController:
    name = "ephemeral-volume-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._events, self._queue = ctx.client, ctx.events, ctx.queue
        self._pods = ctx.informer(Pod)
        self._claims = ctx.informer(PersistentVolumeClaim)
        index_by_claim(self._pods)
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is not None and any(volume.ephemeral for volume in new.spec.volumes):
            self._queue.add(new.key)

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        """A claim that was deleted under a Pod is made again."""
        if old is not None and new is None:
            for pod in users(self._pods, old.key):
                self._pod_changed(None, pod)

    async def reconcile(self, key: Key) -> Requeue | None:
        pod = self._pods.get(key)
        if pod is None or pod.metadata.deletion_timestamp:
            return None
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None:
                await self._ensure(pod, volume)
        return None

    async def _ensure(self, pod: Pod, volume: Volume) -> None:
        name = claim_name(pod, volume)
        claim = self._claims.get(Key(pod.metadata.namespace, name))
        try:
            if claim is not None:
                check_owner(pod, claim)
                return
            await self._create(pod, volume)
        except NotForPod as error:
            self._tell(pod, volume, str(error))
            # The end of the other claim wakes the Pod.
            raise Terminal(str(error)) from error
        except ApiError as error:
            if namespace_is_terminating(error):
                return
            self._tell(pod, volume, f"create PVC {name}: {error}")
            raise

    async def _create(self, pod: Pod, volume: Volume) -> None:
        CREATES.inc()
        try:
            with FAILURES.count_exceptions(ApiError):
                await self._client.create(PersistentVolumeClaim, claim_body(pod, volume))
        except AlreadyExists:
            # The cache lags behind, or somebody else was first: the server knows whose claim it is.
            namespace, name = pod.metadata.namespace, claim_name(pod, volume)
            check_owner(pod, await self._client.get(PersistentVolumeClaim, name, namespace))
        else:
            log.info("created claim key=%s volume=%s", pod.key, volume.name)

    def _tell(self, pod: Pod, volume: Volume, why: str) -> None:
        text = f"ephemeral volume {volume.name}: {why}"
        self._events.event(pod, "Warning", "FailedBinding", text)
