"""ReplicaSet controller: keep the number of owned pods at spec.replicas.

Reads: ReplicaSets and Pods, from informer caches.
Writes: Pods, their ownerReferences, and ReplicaSet status, through the API server.
Elsewhere: rollouts (deployment/), choice of node (the scheduler), whose Pods they are (adoption.py).

Invariant: only an ownerReference makes a pod ours; labels only decide about adoption and release.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from prometheus_client import Histogram

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Condition, Pod, ReplicaSet
from kplane.api.types.meta import condition
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from .adoption import Adoption, adopters, selector_of
from .batches import attempt_all, namespace_is_terminating, slow_start
from .pods import available, from_template, next_availability, template_labels
from .ranking import deletion_order
from .status import conditions_body, counts, without

log = logging.getLogger(__name__)

AGE_RATIO = Histogram(
    "replicaset_controller_sorting_deletion_age_ratio",
    "The ratio of chosen deleted pod's ages to the current youngest pod's age (at the time). Should be <2. "
    "The intent of this metric is to measure the rough efficacy of the LogarithmicScaleDown feature gate's "
    "effect on the sorting (and deletion) of pods when a replicaset scales down. "
    "This only considers Ready pods when calculating and reporting.",
    buckets=tuple(0.25 * 2**power for power in range(6)),
)

ORPHANS = "replicaset-orphans"
BURST = 500
"""Most Pods created or deleted in one step."""

MANY = 50
PAUSE_PER_POD = 0.0002
LONGEST_PAUSE = 0.5
"""How long changes of Pods gather before the step of a set that has MANY."""


@dataclass(frozen=True)
class Plan:
    create: int
    delete: Sequence[Pod]


def plan(want: int, pods: Sequence[Pod], related: Sequence[Pod], now: datetime) -> Plan:
    """The step from the active `pods` towards `want` of them."""
    missing = want - len(pods)
    if missing >= 0:
        return Plan(min(missing, BURST), ())
    victims = deletion_order(pods, related, now) if want else pods
    return Plan(0, victims[: min(-missing, BURST)])


def new_status(
    rs: ReplicaSet, pods: Sequence[Pod], terminating: int, failure: ApiError | None, now: datetime
) -> Object:
    """The status as a merge patch, from the active pods and the outcome of the step."""
    labels = template_labels(rs.spec.template).items()
    ready = [pod for pod in pods if pod.ready]
    body = {"replicas": len(pods), "terminatingReplicas": terminating}
    body |= counts(
        {
            "fullyLabeledReplicas": sum([labels <= pod.metadata.labels.items() for pod in pods]),
            "readyReplicas": len(ready),
            "availableReplicas": sum([available(pod, rs.spec.min_ready_seconds, now) for pod in ready]),
            "observedGeneration": rs.metadata.generation,
        }
    )
    return body | {"conditions": conditions_body(_conditions(rs, len(pods), failure, now))}


def _conditions(rs: ReplicaSet, have: int, failure: ApiError | None, now: datetime) -> tuple[Condition, ...]:
    old = rs.status.conditions
    if failure is None:
        return without(old, "ReplicaFailure")
    if condition(old, "ReplicaFailure"):
        return old
    reason = "FailedCreate" if have < rs.spec.replicas else "FailedDelete"
    failed = Condition(
        type="ReplicaFailure", status="True", reason=reason, message=str(failure), last_transition_time=now
    )
    return (*old, failed)


def current_status(rs: ReplicaSet) -> Object:
    """The status as it stands, in the same form as `new_status`."""
    status = rs.status
    body: Object = {"replicas": status.replicas, "terminatingReplicas": status.terminating_replicas}
    body |= counts(
        {
            "fullyLabeledReplicas": status.fully_labeled_replicas,
            "readyReplicas": status.ready_replicas,
            "availableReplicas": status.available_replicas,
            "observedGeneration": status.observed_generation,
        }
    )
    return body | {"conditions": conditions_body(status.conditions)}


def observe_ages(pods: Sequence[Pod], chosen: Iterable[Pod], now: datetime) -> None:
    """How much older than the youngest ready Pod those are that go, of the ready ones."""
    ages = {
        pod.metadata.uid: int((now - pod.metadata.creation_timestamp).total_seconds() * 1000)
        for pod in pods
        if pod.ready and pod.metadata.creation_timestamp
    }
    youngest = min(ages.values(), default=0)
    for pod in chosen if youngest > 0 else ():
        if pod.metadata.uid in ages:
            # Whole numbers, as upstream divides them.
            AGE_RATIO.observe(ages[pod.metadata.uid] // youngest)


class ReplicaSetController:
    name = "replicaset-controller"
    kind: ClassVar[type[ReplicaSet]] = ReplicaSet

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._queue = ctx.queue
        self._sets = ctx.informer(self.kind)
        self._pods = ctx.informer(Pod)
        self._pods.add_index(ORPHANS, _orphan_namespace)
        self._sets.add_index("replicaset-siblings", _owner_uid)
        self._writes = TrackedWrites(ctx.client, self._pods, ctx.clock)
        self._adoption = Adoption(ctx.client, Pod)
        self._sets.on_change(ctx.queue.wake)
        self._pods.on_change(ctx.queue.wake_owner_later(self._pause))
        self._pods.on_change(self._wake_adopters)

    def _wake_adopters(self, old: Pod | None, new: Pod | None) -> None:
        """An orphan may fit some set."""
        if new is None or new.metadata.controller:
            return
        for key in adopters(self._sets.list(new.metadata.namespace), new.metadata.labels):
            self._queue.add(key)

    def _pause(self, key: Key) -> float:
        """Seconds for which changes of Pods gather: a step looks at every Pod of the set, so that one for
        each change would cost the square of their number."""
        rs = self._sets.get(key)
        have = rs.status.replicas if rs is not None else 0
        return min(have * PAUSE_PER_POD, LONGEST_PAUSE) if have >= MANY else 0.0

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        rs = self._sets.get(key)
        if rs is None:
            self._writes.forget(key)
            return None
        # The cache lags behind our own writes; acting on it would create twice.
        wait = self._writes.unsettled(key)
        selector = selector_of(rs)
        owned = self._pods.owned_by(rs.metadata.uid)
        orphans = self._pods.by_index(ORPHANS, key.namespace)
        active = [pod for pod in (*owned, *orphans) if pod.active]
        pods = await self._adoption.claim(rs, active, lambda pod: selector.matches(pod.metadata.labels))
        failure = None
        if wait is None and rs.metadata.deletion_timestamp is None:
            failure = await self._act(key, rs, pods)
        terminating = sum(pod.metadata.deletion_timestamp is not None and not pod.terminal for pod in owned)
        await self._write_status(rs, pods, terminating, failure)
        if failure is not None:
            raise failure
        return _sooner(wait, next_availability(pods, rs.spec.min_ready_seconds, self._clock.now()))

    async def _act(self, key: Key, rs: ReplicaSet, pods: Sequence[Pod]) -> ApiError | None:
        """Take the planned step; returns its first failure."""
        step = plan(rs.spec.replicas, pods, self._related(rs), self._clock.now())
        if step.create:
            log.info("creating pods key=%s want=%d have=%d", key, rs.spec.replicas, len(pods))
            return await slow_start(step.create, lambda: self._create(key, rs))
        if step.delete:
            observe_ages(pods, step.delete, self._clock.now())
            log.info("deleting pods key=%s want=%d have=%d", key, rs.spec.replicas, len(pods))
            errors = await attempt_all([self._delete(key, rs, pod) for pod in step.delete])
            return errors[0] if errors else None
        return None

    def _related(self, rs: ReplicaSet) -> list[Pod]:
        """The Pods of all sets under the same owner, this one's included."""
        owner = rs.metadata.controller
        siblings = self._sets.by_index("replicaset-siblings", owner.uid) if owner else [rs]
        return [pod for sibling in siblings for pod in self._pods.owned_by(sibling.metadata.uid)]

    async def _create(self, key: Key, rs: ReplicaSet) -> None:
        try:
            pod = await self._writes.create(key, from_template(rs.spec.template, rs), key.namespace)
        except ApiError as error:
            if not namespace_is_terminating(error):
                self._events.event(rs, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

    async def _delete(self, key: Key, rs: ReplicaSet, pod: Pod) -> None:
        try:
            deleted = await self._writes.delete(key, pod)
        except ApiError as error:
            self._events.event(rs, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        if deleted:
            self._events.event(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def _write_status(
        self, rs: ReplicaSet, pods: Sequence[Pod], terminating: int, failure: ApiError | None
    ) -> None:
        status = self.shown(new_status(rs, pods, terminating, failure, self._clock.now()))
        if status == self.shown(current_status(rs)):
            return
        # No resourceVersion: this controller alone writes it, one key at a time, from ever newer caches.
        patch = {"metadata": {"uid": rs.metadata.uid}, "status": status}
        try:
            await self._client.patch(
                self.kind, rs.metadata.name, rs.metadata.namespace, patch, subresource="status"
            )
        except NotFound:
            return  # Deleted meanwhile: nobody to tell.

    def shown(self, status: Object) -> Object:
        """The part of a status that this kind has."""
        return status


def _orphan_namespace(pod: Pod) -> list[str]:
    return [] if pod.metadata.controller else [pod.metadata.namespace]


def _owner_uid(rs: ReplicaSet) -> list[str]:
    controller = rs.metadata.controller
    return [controller.uid] if controller else []


def _sooner(*waits: float | None) -> Requeue | None:
    known = [wait for wait in waits if wait is not None]
    return Requeue(min(known)) if known else None
