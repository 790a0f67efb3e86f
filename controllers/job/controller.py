"""Job controller: run Pods to completion and count every one of them exactly once.

Reads: Jobs and Pods, from informer caches; single Pods live, where the cache may be older than the status.
Writes: Pods (creation, deletion, finalizers, ownerReferences) and Job status, through the API server.
Elsewhere: Jobs by the clock (../cronjob/), Jobs that have been finished for long (../ttl_after_finished.py).

Invariant: a Pod that has ended keeps its finalizer until the status holds its uid, its uid stays there until
the finalizer is gone, and every status is written against the revision that it was made from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key
from kplane.api.types import Job, Pod
from kplane.api.types.meta import condition
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites

from ..adoption import Adoption, adopters, selector_of
from ..batches import attempt_all, namespace_is_terminating, slow_start
from ..latest import Latest
from ..status import guarded
from . import metrics
from .accounting import count
from .assessment import FAILURE, SUCCESS, Assessment, assess, completed, deadline_left
from .failures import Record
from .plan import plan
from .pods import TRACKING, Wanted, body, terminating, tracked
from .state import State, new_condition

log = logging.getLogger(__name__)

BATCH_SECONDS = 1.0
"""Changes of Pods wait so long for others of their Job: one status for many."""
MANAGER = "kubernetes.io/job-controller"


@dataclass
class Step:
    """What is known of the Job's Pods after what was done to them."""

    active: int
    ready: int
    terminating: int
    error: ApiError | None = None
    wait: float | None = None
    action: str = metrics.RECONCILING
    """As metrics call it."""

    @classmethod
    def before(cls, found: Assessment) -> Step:
        ready = sum(pod.ready for pod in found.active)
        return cls(len(found.active), ready, sum(terminating(pod) for pod in found.pods))


class JobController:
    name = "job-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._queue = ctx.queue
        self._jobs = ctx.informer(Job)
        self._pods = ctx.informer(Pod)
        self._pods.add_index("job-orphans", _orphan_namespace)
        self._pods.add_index("job-tracked", _job_key)
        self._latest = Latest(self._jobs)
        self._latest_pods = Latest(self._pods)
        self._writes = TrackedWrites(ctx.client, self._pods, ctx.clock)
        self._adoption = Adoption(ctx.client, Pod, TRACKING)
        self._backoff: dict[Key, Record] = {}
        self._jobs.on_change(ctx.queue.wake)
        self._jobs.on_change(_count_job)
        self._pods.on_change(self._wake_for_pod)
        self._pods.on_change(metrics.count_finalizer)

    def _wake_for_pod(self, old: Pod | None, new: Pod | None) -> None:
        for pod in (old, new):
            if pod is not None and (name := _job_name(pod)):
                self._queue.add_after(Key(pod.metadata.namespace, name), BATCH_SECONDS)
        if new is None or new.metadata.controller:
            return
        for key in adopters(self._jobs.list(new.metadata.namespace), new.metadata.labels):
            self._queue.add_after(key, BATCH_SECONDS)
        if tracked(new):
            self._queue.add(Key(new.metadata.namespace, ""))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time. A key without a name stands for the
        Pods of its namespace that no Job owns."""
        if not key.name:
            orphans = self._pods.by_index("job-orphans", key.namespace)
            await self._let_go([pod for pod in orphans if tracked(pod)])
            return None
        cached = self._jobs.get(key)
        job = None if cached is None else self._latest.of(cached)
        await self._release(key, job)
        if job is None or job.finished or _managed_elsewhere(job):
            self._writes.forget(key)
            self._backoff.pop(key, None)
            return None
        if job.spec.completion_mode not in ("NonIndexed", "Indexed"):
            why = "Skipped Job sync because completion mode is unknown"
            self._events.event(job, "Warning", "UnknownCompletionMode", why)
            return None
        try:
            with metrics.observed(job, self._clock) as sync:
                return await self._sync(key, job, sync)
        except NotFound:
            # The Job went away under this step; its watch event wakes us to release its Pods.
            return None

    async def _sync(self, key: Key, job: Job, sync: metrics.Sync) -> Requeue | None:
        pods = await self._pods_of(job)
        now = self._clock.now()
        state = State.of(job)
        if state.start_time is None and not job.spec.suspend:
            state.start_time = now
        found = assess(job, state, pods, self._backoff.get(key, Record()), now)
        step = await self._act(key, found)
        sync.action = step.action
        state.active, state.ready, state.terminating = step.active, step.ready, step.terminating
        await self._account(key, found)
        if step.error is not None:
            raise step.error
        return _sooner(step.wait, deadline_left(found))

    async def _pods_of(self, job: Job) -> list[Pod]:
        """The Job's Pods, in no older a state than its status was made from."""
        selector = selector_of(job)
        owned = [self._latest_pods.of(pod) for pod in self._pods.owned_by(job.metadata.uid)]
        orphans = self._pods.by_index("job-orphans", job.metadata.namespace)
        mine = await self._adoption.claim(
            job, [*owned, *orphans], lambda pod: selector.matches(pod.metadata.labels)
        )
        return await self._confirm(job, mine)

    async def _confirm(self, job: Job, pods: Sequence[Pod]) -> list[Pod]:
        """A Pod that is older in the cache than the Job's status may have been counted by it already, and
        have lost its finalizer since. Revisions are comparable as numbers (KEP-5504)."""
        written = int(job.metadata.resource_version)
        if int(self._pods.resource_version or 0) >= written:
            return list(pods)
        ending = any(condition(job.status.conditions, kind) for kind in (SUCCESS, FAILURE))
        current = {pod.key: pod for pod in pods}
        doubtful = [
            pod for pod in pods
            if tracked(pod) and (ending or not pod.active) and int(pod.metadata.resource_version) < written
        ]  # fmt: skip
        errors = await attempt_all([self._refresh(current, pod) for pod in doubtful])
        if errors:
            raise errors[0]
        return list(current.values())

    async def _refresh(self, current: dict[Key, Pod], pod: Pod) -> None:
        # A list of one: the controller's role lets it list Pods, and not get them.
        name = f"metadata.name={pod.metadata.name}"
        found = (await self._client.list(Pod, pod.metadata.namespace, field_selector=name)).items
        if found and found[0].metadata.uid == pod.metadata.uid:
            current[pod.key] = found[0]
        else:
            del current[pod.key]

    async def _act(self, key: Key, found: Assessment) -> Step:
        """Stop the Pods of a Job that ends; otherwise create and delete what is planned."""
        step = Step.before(found)
        # The cache lags behind our own writes; acting on it would create twice.
        step.wait = self._writes.unsettled(key)
        settled = step.wait is None
        if found.ending is not None:
            await self._delete(key, found, found.active, step)
            if step.active or not settled:
                # Pods may be left that are not known of: the next step ends it.
                found.ending = None
            return step
        if not settled:
            return step
        if found.job.metadata.deletion_timestamp is None:
            await self._follow_plan(key, found, step)
        found.ending = completed(found, step.active)
        if found.ending is None and found.job.metadata.deletion_timestamp is None:
            self._show_suspension(found)
        return step

    async def _follow_plan(self, key: Key, found: Assessment, step: Step) -> None:
        planned = plan(found)
        step.wait = planned.wait
        step.action = metrics.TRACKING_PODS
        if planned.delete:
            step.action = metrics.DELETED
            # They go because they are too many: none of them is to be counted.
            untracked, step.error = await self._untrack(planned.delete)
            doomed = [pod for pod in planned.delete if pod.metadata.uid in untracked]
            await self._delete(key, found, doomed, step)
        if planned.create:
            step.action = metrics.CREATED
            log.info("creating pods key=%s pods=%d active=%d", key, len(planned.create), step.active)
            wanted = iter(planned.create)
            step.error = await slow_start(
                len(planned.create), lambda: self._create(key, found, next(wanted), step)
            )

    async def _create(self, key: Key, found: Assessment, wanted: Wanted, step: Step) -> None:
        job = found.job
        try:
            pod = await self._writes.create(key, body(job, wanted), key.namespace)
        except ApiError as error:
            metrics.count_created(found, failed=True)
            if not namespace_is_terminating(error):
                self._events.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        step.active += 1
        metrics.count_created(found, failed=False)
        self._events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")

    async def _delete(self, key: Key, found: Assessment, pods: Sequence[Pod], step: Step) -> None:
        if pods:
            log.info("deleting pods key=%s pods=%d", key, len(pods))
        errors = await attempt_all([self._delete_one(key, found.job, pod, step) for pod in pods])
        step.error = step.error or (errors[0] if errors else None)

    async def _delete_one(self, key: Key, job: Job, pod: Pod, step: Step) -> None:
        try:
            deleted = await self._writes.delete(key, pod)
        except ApiError as error:
            self._events.event(job, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        step.active -= 1
        step.ready -= pod.ready
        step.terminating += 1
        if deleted:
            self._events.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    def _show_suspension(self, found: Assessment) -> None:
        job, state, now = found.job, found.state, found.now
        if job.spec.suspend:
            # It starts anew when it is resumed (KEP-5440); until then its template may be changed.
            state.start_time = None
            if state.set_condition(new_condition("Suspended", "JobSuspended", "Job suspended", now)):
                self._events.event(job, "Normal", "Suspended", "Job suspended")
        elif state.set_condition(
            new_condition("Suspended", "JobResumed", "Job resumed", now, status="False")
        ):
            self._events.event(job, "Normal", "Resumed", "Job resumed")
            # The deadline counts the time since the Job was resumed.
            state.start_time = now

    async def _account(self, key: Key, found: Assessment) -> None:
        """Count Pods that have ended, in the order that makes it exact: uid into the status, finalizer off,
        uid out of the status and into the count, and only then the end of the Job."""
        state, ending = found.state, found.ending
        waiting = {pod.metadata.uid for pod in found.pods if tracked(pod)}
        state.settle(waiting)
        known = list(state.uncounted_failed)
        done, complete = count(found)
        if ending is not None:
            state.set_condition(ending)
        job = await self._write(found.job, state)
        metrics.count_verdicts(job, done, known)
        self._backoff[key] = found.backoff
        removed, error = await self._untrack([pod for pod in done if pod.metadata.uid in waiting])
        waiting -= removed
        state.settle(waiting)
        left = state.uncounted_succeeded or state.uncounted_failed or state.terminating
        if ending is not None and complete and not left:
            self._finish(found)
        await self._write(job, state)
        if found.state.conditions != job.status.conditions:
            self._tell_end(found)
        if error is not None:
            raise error

    def _finish(self, found: Assessment) -> None:
        ending, state, now = found.ending, found.state, found.now
        assert ending is not None
        kind = "Complete" if ending.type == SUCCESS else "Failed"
        state.set_condition(new_condition(kind, ending.reason, ending.message, now))
        if state.start_time is None and found.job.spec.completions != 0:
            # It ended while it was suspended, and what has ended has started.
            state.start_time = now
        if kind == "Complete":
            state.completion_time = now

    def _tell_end(self, found: Assessment) -> None:
        job, state = found.job, found.state
        for end in state.conditions:
            if end.type in ("Complete", "Failed"):
                metrics.count_finished(job, end)
        if condition(state.conditions, "Complete"):
            if job.spec.completions is not None and state.succeeded > job.spec.completions:
                why = "Too many succeeded pods running after completion count reached"
                self._events.event(job, "Warning", "TooManySucceededPods", why)
            self._events.event(job, "Normal", "Completed", "Job completed")
        elif failed := condition(state.conditions, "Failed"):
            self._events.event(job, "Warning", failed.reason, failed.message)

    async def _write(self, job: Job, state: State) -> Job:
        """Write the status if it has changed; the Job as it is then."""
        if state.body() == State.of(job).body():
            return job
        meta = job.metadata
        patch = guarded(meta, {"status": state.body()})
        answer = await self._client.patch(Job, meta.name, meta.namespace, patch, subresource="status")
        metrics.count_status(job, answer)
        return self._latest.wrote(answer)

    async def _release(self, key: Key, job: Job | None) -> None:
        """Let go of the Pods of a Job that has gone or ended: nobody is left to count them."""
        pods = self._pods.by_index("job-tracked", f"{key.namespace}/{key.name}")
        left = [pod for pod in pods if not _counted_by(job, pod)]
        if not left:
            return
        try:
            # The cache of Jobs may lag behind that of Pods.
            live = await self._client.get(Job, key.name, key.namespace)
        except NotFound:
            live = None
        await self._let_go([pod for pod in left if not _counted_by(live, pod)])

    async def _let_go(self, pods: Sequence[Pod]) -> None:
        _, error = await self._untrack(pods)
        if error is not None:
            raise error

    async def _untrack(self, pods: Sequence[Pod]) -> tuple[set[str], ApiError | None]:
        """Remove the finalizer; the uids of those that no longer have it, and the first failure."""
        done: set[str] = set()
        errors = await attempt_all([self._untrack_one(pod, done) for pod in pods])
        return done, errors[0] if errors else None

    async def _untrack_one(self, pod: Pod, done: set[str]) -> None:
        meta = pod.metadata
        patch = {"metadata": {"uid": meta.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        try:
            answer = await self._client.patch(Pod, meta.name, meta.namespace, patch, kind=PatchType.STRATEGIC)
        except NotFound:
            pass  # Gone altogether.
        else:
            self._latest_pods.wrote(answer)
        done.add(meta.uid)


def _managed_elsewhere(job: Job) -> bool:
    return job.spec.managed_by not in (None, MANAGER)


def _count_job(old: Job | None, new: Job | None) -> None:
    if old is None and new is not None and _managed_elsewhere(new):
        metrics.count_managed_elsewhere(new.spec.managed_by or "")


def _counted_by(job: Job | None, pod: Pod) -> bool:
    """Whether the finalizer of `pod` is this Job's controller's business still."""
    owner = pod.metadata.controller
    if job is None or owner is None or owner.uid != job.metadata.uid:
        return False
    return _managed_elsewhere(job) or job.finished is None


def _job_name(pod: Pod) -> str:
    owner = pod.metadata.controller
    return owner.name if owner and owner.kind == "Job" and owner.api_version == "batch/v1" else ""


def _job_key(pod: Pod) -> list[str]:
    name = _job_name(pod)
    return [f"{pod.metadata.namespace}/{name}"] if name and tracked(pod) else []


def _orphan_namespace(pod: Pod) -> list[str]:
    return [] if pod.metadata.controller else [pod.metadata.namespace]


def _sooner(*waits: float | None) -> Requeue | None:
    known = [wait for wait in waits if wait is not None and wait > 0]
    return Requeue(min(known)) if known else None
