"""One node: its pods' workers, its presence in the API, and what is left over from before.

Reads: Pods bound to this node. Writes: nothing itself; workers report status, `registration.py` the node.

Invariant: for every pod that the API or the runtime knows on this node there is exactly one worker, by uid.
"""

from __future__ import annotations

import asyncio
import logging

from kplane.api.types.meta import ObjectMeta

from . import labels, sysctls
from .admission import refusal, resize_refusal
from .host import Host
from .pleg import PodEvents
from .pod import Pod
from .registration import NodeRegistration
from .runtime.interface import RuntimeFailure
from .status import Waiting
from .worker import PodWorker

log = logging.getLogger(__name__)

RESTART_SECONDS = 10.0


class Kubelet:
    def __init__(self, host: Host, registration: NodeRegistration) -> None:
        self._host, self.registration = host, registration
        self._workers: dict[str, PodWorker] = {}
        self._events = PodEvents(host.runtime, host.clock, self.wake, lambda: bool(self._workers))
        host.expect_soon = self._events.expect_soon
        self._tasks: asyncio.TaskGroup | None = None
        self._synced = False

    @property
    def name(self) -> str:
        return self._host.config.node_name

    def pods(self) -> list[Pod]:
        """All pods of this node."""
        return [worker.pod for worker in self._workers.values()]

    def find(self, namespace: str, name: str) -> Pod | None:
        """The pod of that name that this node runs."""
        for worker in self._workers.values():
            meta = worker.pod.metadata
            if (meta.namespace, meta.name) == (namespace, name):
                return worker.pod
        return None

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Informer handler, for pods of this node only; `run` must have been entered."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            worker = self._workers.get(old.metadata.uid)
            if worker is not None:
                worker.remove()
        if new is None:
            return
        worker = self._workers.get(new.metadata.uid)
        if worker is None:
            self._admit(new)
        else:
            worker.update(new)

    def refresh(self, uid: str) -> None:
        """Something that the pod refers to changed."""
        if (worker := self._workers.get(uid)) is not None:
            worker.retry()

    def wake(self, uid: str) -> None:
        """Something of that pod changed in the runtime."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()
        elif self._synced and self._tasks is not None:
            self._tasks.create_task(self._adopt_orphan(uid))

    def pods_synced(self) -> None:
        """All pods of the node have been delivered: whatever else is here is left over."""
        assert self._tasks is not None
        self._synced = True
        self._tasks.create_task(self._clean_up())

    async def run(self, started: asyncio.Event) -> None:
        """Until cancelled; `started` is set when pods may be delivered."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._host.objects.run())
            await self._host.clock.sleep(0)
            started.set()
            await self.registration.register()
            tasks.create_task(self._events.run())
            tasks.create_task(self.registration.keep_status())
            tasks.create_task(self.registration.keep_lease())

    def _admit(self, pod: Pod) -> None:
        """A worker for a new pod. One that has not run yet may be refused; the others only look it over."""
        worker = PodWorker(self._host, pod, self._room)
        fresh = not pod.status.get("containerStatuses") and pod.metadata.deletion_timestamp is None
        why = self._refusal(pod) if fresh and not pod.terminal else None
        if why is not None:
            log.warning("pod refused pod=%s reason=%s", pod.key, why.reason)
            text = why.message.removeprefix("Pod was rejected: ")
            self._host.tell(pod, "", "Warning", why.reason, text)
            worker.evict(why.reason, why.message)
        self._employ(worker)

    def _room(self, pod: Pod) -> Waiting | None:
        """Why a pod that runs here cannot have the resources that it asks for now."""
        others = [
            other.pod for uid, other in self._workers.items() if other.active and uid != pod.metadata.uid
        ]
        return resize_refusal(pod, others, self._host.allocatable)

    def _refusal(self, pod: Pod) -> Waiting | None:
        active = [other.pod for other in self._workers.values() if other.active]
        config = self._host.config
        return sysctls.refusal(pod, config.allowed_unsafe_sysctls) or refusal(
            pod, active, self._host.allocatable
        )

    def _employ(self, worker: PodWorker) -> None:
        assert self._tasks is not None
        uid = worker.pod.metadata.uid
        self._workers[uid] = worker
        self._events.expect_soon()
        self._tasks.create_task(self._supervise(uid, worker))

    async def _supervise(self, uid: str, worker: PodWorker) -> None:
        """The pod's queue worker: a fault in one pod's handling must not end the others'."""
        while True:
            try:
                await worker.run()
                break
            except Exception:
                log.exception("pod worker failed pod=%s", worker.pod.key)
            await self._host.clock.sleep(RESTART_SECONDS)
        del self._workers[uid]

    async def _adopt_orphan(self, uid: str) -> None:
        """Sandboxes or containers without a pod: end and remove them."""
        runtime = self._host.runtime
        try:
            sandboxes = await runtime.list_sandboxes(uid)
            containers = await runtime.list_containers(uid)
        except RuntimeFailure as failure:
            log.warning("runtime failed uid=%s error=%s", uid, failure)
            return
        if uid in self._workers or not (sandboxes or containers):
            return
        about = containers[0].labels if containers else sandboxes[0].labels
        grace = min((labels.grace_of(entry.annotations) for entry in containers), default=0)
        meta = ObjectMeta(
            name=about.get(labels.POD_NAME, ""),
            namespace=about.get(labels.POD_NAMESPACE, ""),
            uid=uid,
            deletion_grace_period_seconds=grace,
        )
        log.info("removing orphan pod=%s/%s uid=%s", meta.namespace, meta.name, uid)
        worker = PodWorker(self._host, Pod(metadata=meta), self._room)
        worker.remove()
        self._employ(worker)

    async def _clean_up(self) -> None:
        """Once after the start: orphans in the runtime, folders and mounts of pods that are gone."""
        runtime = self._host.runtime
        try:
            found = {entry.uid for entry in await runtime.list_sandboxes()}
            found |= {entry.labels.get(labels.POD_UID, "") for entry in await runtime.list_containers()}
        except RuntimeFailure as failure:
            # Events of the runtime will bring the orphans up again when it is back.
            log.warning("no clean-up error=%s", failure)
            return
        for uid in found - self._workers.keys() - {""}:
            await self._adopt_orphan(uid)
        for uid in self._host.disk.pod_uids() - self._workers.keys():
            log.info("removing leftovers uid=%s", uid)
            self._host.disk.remove(uid)
