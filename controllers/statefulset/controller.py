"""StatefulSet controller: take the planned steps of scaling and updating.

Reads: StatefulSets, Pods, ControllerRevisions and PersistentVolumeClaims, from informer caches.
Writes: Pods, PersistentVolumeClaims, ControllerRevisions and StatefulSet status, through the API server.
Elsewhere: volumes and binding, DNS names of the Pods (the headless Service), choice of node (the scheduler).

Invariant: there is never more than one Pod of an ordinal: its name sees to that.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from kplane.api.errors import AlreadyExists, ApiError, NotFound
from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.api.types.apps import ControllerRevision, StatefulSet
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from .. import history
from ..adoption import Adoption, adopters, selector_of
from ..batches import attempt_all, namespace_is_terminating, slow_start
from ..gathering import pause
from ..pods import next_availability
from . import metrics
from .claims import Claims
from .identity import (
    has_identity,
    is_member,
    labels,
    ordinal_of,
    parse,
    pod_body,
    pod_name,
    revision_of,
)
from .plan import Plan, at_current_revision, is_parallel, plan
from .status import Revisions, body, new_status

log = logging.getLogger(__name__)


class StatefulSetController:
    name = "statefulset-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._queue = ctx.queue
        self._sets = ctx.informer(StatefulSet)
        self._pods = ctx.informer(Pod)
        self._pods.add_index("statefulset-orphans", _orphan_member)
        self._writes = TrackedWrites(ctx.client, self._pods, ctx.clock)
        self._adoption = Adoption(ctx.client, Pod)
        self._history = history.History(ctx, history.HASH_LABEL)
        self._claims = Claims(ctx)
        self._sets.on_change(ctx.queue.wake)
        self._pods.on_change(ctx.queue.wake_owner_later(self._pause))
        self._pods.on_change(self._wake_adopters)

    def _pause(self, key: Key) -> float:
        """An ordered set takes a step per change, and does not wait for others."""
        sts = self._sets.get(key)
        return pause(sts.status.replicas) if sts is not None and is_parallel(sts) else 0.0

    def _wake_adopters(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or new.metadata.controller:
            return
        for key in adopters(self._sets.list(new.metadata.namespace), new.metadata.labels):
            self._queue.add(key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        sts = self._sets.get(key)
        if sts is None:
            self._writes.forget(key)
            metrics.forget(key)
            return None
        selector = selector_of(sts)
        # The cache lags behind our own writes; a decision on it would come a step too early.
        wait = self._writes.unsettled(key)
        kept = await self._history.claim(sts, selector)
        orphans = self._pods.by_index("statefulset-orphans", f"{key.namespace}/{key.name}")
        candidates = (*self._pods.owned_by(sts.metadata.uid), *orphans)
        pods = await self._adoption.claim(
            sts, candidates, lambda pod: is_member(sts, pod) and selector.matches(pod.metadata.labels)
        )
        update, collisions = await self._history.update_revision(sts, kept)
        current = next(
            (entry for entry in kept if entry.metadata.name == sts.status.current_revision), update
        )
        failure = None
        if wait is None and sts.metadata.deletion_timestamp is None:
            failure = await self._act(sts, pods, current, update)
        names = Revisions(current.metadata.name, update.metadata.name, collisions)
        await self._write_status(sts, pods, names)
        if failure is not None:
            raise failure
        await self._prune(sts, pods, kept, names)
        moment = next_availability(pods, sts.spec.min_ready_seconds, self._clock.now())
        waits = [seconds for seconds in (wait, moment) if seconds is not None]
        return Requeue(min(waits)) if waits else None

    async def _act(
        self, sts: StatefulSet, pods: Sequence[Pod], current: ControllerRevision, update: ControllerRevision
    ) -> ApiError | None:
        """Take the planned step, stage by stage; returns the first failure, which ends it."""
        step = plan(sts, pods, update.metadata.name, self._clock.now())
        _log(sts.key, step)
        if step.down is not None:
            metrics.observe(sts, step.down)

        ordinals = iter(step.create)

        async def create() -> None:
            ordinal = next(ordinals)
            await self._create(sts, ordinal, current if at_current_revision(sts, ordinal) else update)

        stages: Sequence[Callable[[], Awaitable[ApiError | None]]] = (
            lambda: _first(self._delete(sts, pod) for pod in step.restart),
            lambda: _first(self._keep(sts, pod) for pod in step.keep),
            lambda: slow_start(len(step.create), create),
            lambda: _first(self._claims.settle_owners(sts, pod) for pod in step.condemned),
            lambda: _first(self._delete(sts, pod) for pod in (*step.delete, *step.update)),
        )
        for stage in stages:
            if failure := await stage():
                return failure
        return None

    async def _create(self, sts: StatefulSet, ordinal: int, revision: ControllerRevision) -> None:
        if self._claims.stale(sts, ordinal):
            return  # It comes back with a claim of its own, when the old one has gone.
        body = pod_body(sts, history.template_of(revision), revision.metadata.name, ordinal)
        try:
            await self._claims.ensure(sts, ordinal)
            pod = await self._writes.create(sts.key, body, sts.metadata.namespace)
        except AlreadyExists:
            raise  # The cache lags behind, or the Pod is somebody else's: either way it has to change.
        except ApiError as error:
            if namespace_is_terminating(error):
                return
            self._tell(sts, "create", pod_name(sts, ordinal), error)
            raise
        self._tell(sts, "create", pod.metadata.name, None)
        await self._claims.settle_owners(sts, pod)

    async def _keep(self, sts: StatefulSet, pod: Pod) -> None:
        """Bring a living Pod's claims and labels to what its ordinal says."""
        if pod.status.phase == "Pending":
            await self._claims.ensure(sts, ordinal_of(pod))
        await self._claims.settle_owners(sts, pod)
        if has_identity(pod):
            return
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid, "labels": labels(meta.name, ordinal_of(pod))}}
        try:
            await self._client.patch(Pod, meta.name, meta.namespace, patch)
        except NotFound:
            return  # Deleted meanwhile.
        except ApiError as error:
            self._tell(sts, "update", meta.name, error)
            raise
        self._tell(sts, "update", meta.name, None)

    async def _delete(self, sts: StatefulSet, pod: Pod) -> None:
        try:
            deleted = await self._writes.delete(sts.key, pod)
        except ApiError as error:
            self._tell(sts, "delete", pod.metadata.name, error)
            raise
        if deleted:
            self._tell(sts, "delete", pod.metadata.name, None)

    def _tell(self, sts: StatefulSet, verb: str, pod: str, error: ApiError | None) -> None:
        what = f"{verb} Pod {pod} in StatefulSet {sts.metadata.name}"
        if error is None:
            self._events.event(sts, "Normal", f"Successful{verb.title()}", f"{what} successful")
        else:
            self._events.event(sts, "Warning", f"Failed{verb.title()}", f"{what} failed error: {error}")

    async def _write_status(self, sts: StatefulSet, pods: Sequence[Pod], names: Revisions) -> None:
        status = new_status(sts, pods, names, self._clock.now())
        if status == sts.status:
            return
        meta = sts.metadata
        # No resourceVersion: this controller alone writes it, one key at a time, from ever newer caches.
        patch = {"metadata": {"uid": meta.uid}, "status": body(status)}
        try:
            await self._client.patch(StatefulSet, meta.name, meta.namespace, patch, subresource="status")
        except NotFound:
            return  # Deleted meanwhile: nobody to tell.

    async def _prune(
        self, sts: StatefulSet, pods: Sequence[Pod], kept: Sequence[ControllerRevision], names: Revisions
    ) -> None:
        """Forget the oldest revisions that no Pod is of."""
        live = {names.current, names.update, *(revision_of(pod) for pod in pods)}
        old = [entry for entry in kept if entry.metadata.name not in live]
        await self._history.prune(history.superfluous(old, (), sts.spec.revision_history_limit))


async def _first(actions: Iterable[Awaitable[None]]) -> ApiError | None:
    """Do all of them at once; the first failure."""
    errors = await attempt_all(actions)
    return errors[0] if errors else None


def _log(key: Key, step: Plan) -> None:
    for verb, pods in (("restart", step.restart), ("delete", step.delete), ("update", step.update)):
        if pods:
            log.info("%s pods key=%s pods=%s", verb, key, ",".join(pod.metadata.name for pod in pods))
    if step.create:
        log.info("creating pods key=%s ordinals=%d first=%d", key, len(step.create), step.create[0])


def _orphan_member(pod: Pod) -> list[str]:
    """The set that an orphan may belong to, by its name."""
    return [] if pod.metadata.controller else [f"{pod.metadata.namespace}/{parse(pod.metadata.name)[0]}"]
