"""DaemonSet controller: take the planned steps of placing and replacing Pods.

Reads: DaemonSets, Pods, Nodes and ControllerRevisions, from informer caches.
Writes: Pods, ControllerRevisions and DaemonSet status, through the API server.
Elsewhere: binding each Pod to the node that it is tied to (the scheduler).

Invariant: only an ownerReference makes a pod ours; labels only decide about adoption, release and revision.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key
from kplane.api.types import Node, Pod
from kplane.api.types.apps import ControllerRevision, DaemonSet
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from .. import history
from ..adoption import Adoption, adopters, selector_of
from ..batches import attempt_all, namespace_is_terminating, slow_start
from ..gathering import pause
from ..pods import next_availability
from .backoff import FailedPods
from .placement import pod_body
from .plan import Fleet, Plan, plan
from .rollout import allows_surge, rolling
from .status import body, new_status

log = logging.getLogger(__name__)

BURST = 250
"""Most Pods created or deleted in one step."""


class DaemonSetController:
    name = "daemonset-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._queue = ctx.queue
        self._sets = ctx.informer(DaemonSet)
        self._pods = ctx.informer(Pod)
        self._nodes = ctx.informer(Node)
        self._pods.add_index("daemonset-orphans", _orphan_namespace)
        self._writes = TrackedWrites(ctx.client, self._pods, ctx.clock)
        self._adoption = Adoption(ctx.client, Pod)
        self._history = history.History(ctx, history.POD_LABEL)
        self._failures = FailedPods()
        self._sets.on_change(ctx.queue.wake)
        self._pods.on_change(ctx.queue.wake_owner_later(self._pause))
        self._pods.on_change(self._wake_adopters)
        self._nodes.on_change(self._wake_all)

    def _pause(self, key: Key) -> float:
        ds = self._sets.get(key)
        return pause(ds.status.current_number_scheduled if ds is not None else 0)

    def _wake_adopters(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or new.metadata.controller:
            return
        for key in adopters(self._sets.list(new.metadata.namespace), new.metadata.labels):
            self._queue.add(key)

    def _wake_all(self, old: Node | None, new: Node | None) -> None:
        """A node that comes, goes, or looks different to a Pod; heartbeats do not count."""
        if old and new and _looks(old) == _looks(new):
            return
        for ds in self._sets.list():
            self._queue.add(ds.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        ds = self._sets.get(key)
        if ds is None:
            self._writes.forget(key)
            return None
        if not ds.spec.selector.match_labels and not ds.spec.selector.match_expressions:
            why = "This daemon set is selecting all pods. A non-empty selector is required."
            self._events.event(ds, "Warning", "SelectingAll", why)
            return None
        if ds.metadata.deletion_timestamp:
            return None
        return await self._step(ds)

    async def _step(self, ds: DaemonSet) -> Requeue | None:
        # The cache lags behind our own writes; acting on it would create twice.
        wait = self._writes.unsettled(ds.key)
        selector = selector_of(ds)
        kept = await self._history.claim(ds, selector)
        orphans = self._pods.by_index("daemonset-orphans", ds.metadata.namespace)
        pods = await self._adoption.claim(
            ds,
            (*self._pods.owned_by(ds.metadata.uid), *orphans),
            lambda pod: selector.matches(pod.metadata.labels),
        )
        current, collisions = await self._history.update_revision(ds, kept)
        fleet = Fleet.of(ds, _digest(current), self._nodes.list(), pods, self._clock.now())
        failure, later = None, None
        if wait is None:
            failure, later = await self._act(fleet)
        await self._write_status(fleet, collisions)
        if failure is not None:
            raise failure
        await self._prune(fleet, kept, current, pods)
        moment = next_availability(pods, ds.spec.min_ready_seconds, self._clock.now())
        waits = [seconds for seconds in (wait, moment, later) if seconds is not None]
        return Requeue(min(waits)) if waits else None

    async def _act(self, fleet: Fleet) -> tuple[ApiError | None, float | None]:
        """Take the planned step: its first failure, and in how many seconds a failed Pod's back-off ends."""
        step = plan(fleet, surging=allows_surge(fleet.ds))
        later = self._release(fleet.ds, step)
        if not step.create and not step.delete and fleet.ds.spec.update_strategy.type == "RollingUpdate":
            step = rolling(fleet)
        return await self._carry_out(fleet, step), later

    def _release(self, ds: DaemonSet, step: Plan) -> float | None:
        """Add the Pods that have ended to those that go, failed ones when their back-off is over; seconds
        until the next one's is."""
        now = self._clock.monotonic()
        self._failures.clean(now)
        waits: list[float] = []
        for pod in step.failed:
            slot = (ds.metadata.uid, ds.metadata.generation, pod.spec.node_name)
            if left := self._failures.left(slot, now):
                waits.append(left)
                continue
            self._failures.replaced(slot, now)
            where = f"{pod.key} on node {pod.spec.node_name}"
            message = f"Found failed daemon pod {where}, will try to kill it"
            self._events.event(ds, "Warning", "FailedDaemonPod", message)
            step.delete.append(pod)
        for pod in step.succeeded:
            where = f"{pod.key} on node {pod.spec.node_name}"
            message = f"Found succeeded daemon pod {where}, will try to delete it"
            self._events.event(ds, "Normal", "SucceededDaemonPod", message)
            step.delete.append(pod)
        return min(waits, default=None)

    async def _carry_out(self, fleet: Fleet, step: Plan) -> ApiError | None:
        nodes, doomed = step.create[:BURST], step.delete[:BURST]
        if nodes or doomed:
            log.info("daemon pods key=%s create=%d delete=%d", fleet.ds.key, len(nodes), len(doomed))
        waiting = iter(nodes)
        failure = await slow_start(len(nodes), lambda: self._create(fleet, next(waiting)))
        errors = await attempt_all(self._delete(fleet.ds, pod) for pod in doomed)
        return failure or (errors[0] if errors else None)

    async def _create(self, fleet: Fleet, node: str) -> None:
        ds = fleet.ds
        try:
            pod = await self._writes.create(ds.key, pod_body(ds, fleet.digest, node), ds.metadata.namespace)
        except ApiError as error:
            if not namespace_is_terminating(error):
                self._events.event(ds, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(ds, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

    async def _delete(self, ds: DaemonSet, pod: Pod) -> None:
        try:
            deleted = await self._writes.delete(ds.key, pod)
        except ApiError as error:
            self._events.event(ds, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        if deleted:
            self._events.event(ds, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def _write_status(self, fleet: Fleet, collisions: int | None) -> None:
        ds, status = fleet.ds, new_status(fleet, collisions)
        if status == ds.status:
            return
        # No resourceVersion: this controller alone writes it, one key at a time, from ever newer caches.
        patch = {"metadata": {"uid": ds.metadata.uid}, "status": body(status)}
        try:
            await self._client.patch(
                DaemonSet, ds.metadata.name, ds.metadata.namespace, patch, subresource="status"
            )
        except NotFound:
            return  # Deleted meanwhile: nobody to tell.

    async def _prune(
        self,
        fleet: Fleet,
        kept: Sequence[ControllerRevision],
        current: ControllerRevision,
        pods: Sequence[Pod],
    ) -> None:
        """Forget the oldest revisions that no Pod is of."""
        old = [entry for entry in kept if entry.metadata.uid != current.metadata.uid]
        digests = {pod.metadata.labels.get(history.POD_LABEL, "") for pod in pods}
        live = {entry.metadata.name for entry in old if _digest(entry) in digests}
        limit = fleet.ds.spec.revision_history_limit
        await self._history.prune(history.superfluous(old, live, limit))


def _digest(revision: ControllerRevision) -> str:
    """The hash that Pods of this revision are labelled with."""
    return revision.metadata.labels.get(history.POD_LABEL) or revision.metadata.name


def _looks(node: Node) -> tuple[dict[str, str], frozenset[tuple[str, str, str]]]:
    """What decides about eligibility."""
    taints = frozenset((taint.key, taint.value, taint.effect) for taint in node.spec.taints)
    return node.metadata.labels, taints


def _orphan_namespace(pod: Pod) -> list[str]:
    return [] if pod.metadata.controller else [pod.metadata.namespace]
