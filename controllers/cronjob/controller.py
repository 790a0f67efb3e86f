"""CronJob controller: create the Job of each run, keep the list of active ones, clean up finished ones.

Reads: CronJobs and Jobs, from informer caches; single Jobs live, where the cache may lag behind.
Writes: Jobs (creation, deletion), CronJob status, through the API server.
Elsewhere: when runs are due (plan.py), running Jobs (../job/).

Invariant: the status names a run before anything that could hide it is deleted, and a run's name is fixed by
its time; so no failure between two writes doubles a run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from prometheus_client import Histogram

from kplane.api.clock import rfc3339
from kplane.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import CronJob, Job
from kplane.api.types.discovery import ObjectReference
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..batches import namespace_is_terminating
from ..latest import Latest
from ..status import guarded
from . import plan
from .plan import BadSchedule, Timetable

log = logging.getLogger(__name__)

SKEW = Histogram(
    "cronjob_controller_job_creation_skew_duration_seconds",
    "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
    buckets=tuple(2.0**power for power in range(10)),
)

TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
UNSUPPORTED = (
    'CRON_TZ or TZ used in schedule "{}" is not officially supported, see'
    " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
)


@dataclass
class Progress:
    """The status as this step makes it."""

    active: list[ObjectReference]
    last_schedule: datetime | None
    last_success: datetime | None

    def body(self) -> Object:
        """As a merge patch."""
        return {
            "active": [_reference(entry) for entry in self.active] or None,
            "lastScheduleTime": rfc3339(self.last_schedule) if self.last_schedule else None,
            "lastSuccessfulTime": rfc3339(self.last_success) if self.last_success else None,
        }

    def drop(self, uid: str) -> None:
        self.active = [entry for entry in self.active if entry.uid != uid]


def progress(cronjob: CronJob) -> Progress:
    status = cronjob.status
    return Progress(list(status.active), status.last_schedule_time, status.last_successful_time)


class CronJobController:
    name = "cronjob-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._cronjobs = ctx.informer(CronJob)
        self._jobs = ctx.informer(Job)
        self._latest = Latest(self._cronjobs)
        self._cronjobs.on_change(ctx.queue.wake)
        self._jobs.on_change(ctx.queue.wake_owner)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        cached = self._cronjobs.get(key)
        if cached is None:
            return None
        cronjob = self._latest.of(cached)
        jobs = self._jobs.owned_by(cronjob.metadata.uid)
        state = progress(cronjob)
        outcome = failure = None
        try:
            await self._follow(cronjob, jobs, state)
            outcome = await self._run_due(cronjob, state)
        except ApiError as error:
            failure = error
        # Also after a failure: what was seen, created or replaced so far must not be lost.
        cronjob = await self._write_status(cronjob, state)
        if failure is not None:
            raise failure
        await self._clean_up(cronjob, jobs)
        return outcome

    async def _follow(self, cronjob: CronJob, jobs: Sequence[Job], state: Progress) -> None:
        """Bring the list of active Jobs up to date."""
        listed = {entry.uid for entry in state.active}
        for job in jobs:
            if (end := job.finished) is None:
                if job.metadata.uid not in listed and job.metadata.deletion_timestamp is None:
                    why = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
                    self._events.event(cronjob, "Warning", "UnexpectedJob", why)
            elif job.metadata.uid in listed:
                state.drop(job.metadata.uid)
                why = f"Saw completed job: {job.metadata.name}, condition: {end.type}"
                self._events.event(cronjob, "Normal", "SawCompletedJob", why)
        state.last_success = plan.last_success(cronjob, jobs)
        known = {job.metadata.uid for job in jobs}
        for entry in [entry for entry in state.active if entry.uid not in known]:
            if await self._live(entry) is None:
                self._events.event(cronjob, "Normal", "MissingJob", f"Active job went missing: {entry.name}")
                state.drop(entry.uid)

    async def _live(self, entry: ObjectReference) -> Job | None:
        try:
            job = await self._client.get(Job, entry.name, entry.namespace)
        except NotFound:
            return None
        return job if job.metadata.uid == entry.uid else None

    async def _run_due(self, cronjob: CronJob, state: Progress) -> Requeue | None:
        """Start the run that is due, if one is."""
        if cronjob.metadata.deletion_timestamp is not None:
            return None
        try:
            # Of a wrong zone is told even while it rests, of a wrong schedule only when it matters.
            plan.zone_of(cronjob)
            if cronjob.spec.suspend:
                return None
            times = plan.timetable(cronjob)
            if plan.names_zone(cronjob.spec.schedule):
                why = UNSUPPORTED.format(cronjob.spec.schedule)
                self._events.event(cronjob, "Warning", "UnsupportedSchedule", why)
            now = self._clock.now()
            runs = plan.missed(cronjob, times, now, deadline=True)
            wait = Requeue(plan.wait(cronjob, times, now))
        except BadSchedule as error:
            reason, why = error.args
            self._events.event(cronjob, "Warning", reason, why)
            return None
        if runs.latest is None:
            return wait
        if runs.count > plan.MANY:
            why = TOO_MANY
            self._events.event(cronjob, "Warning", "TooManyMissedTimes", why)
        if self._may_start(cronjob, state, runs.latest, now):
            await self._start(cronjob, state, runs.latest, times)
        return wait

    def _may_start(self, cronjob: CronJob, state: Progress, scheduled: datetime, now: datetime) -> bool:
        if plan.too_late(cronjob, scheduled, now):
            why = f"Missed scheduled time to start a job: {format_datetime(scheduled)}"
            self._events.event(cronjob, "Warning", "MissSchedule", why)
            return False
        name = plan.job_name(cronjob, scheduled)
        if scheduled == state.last_schedule or any(entry.name == name for entry in state.active):
            return False
        if cronjob.spec.concurrency_policy == "Forbid" and state.active:
            why = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.event(cronjob, "Normal", "JobAlreadyActive", why)
            return False
        return True

    async def _start(self, cronjob: CronJob, state: Progress, scheduled: datetime, times: Timetable) -> None:
        if cronjob.spec.concurrency_policy == "Replace":
            for entry in list(state.active):
                await self._delete(cronjob, entry.name, entry.uid)
                state.drop(entry.uid)
        job = await self._create(cronjob, plan.job_body(cronjob, scheduled, times.zone), scheduled)
        if job is None or any(entry.uid == job.metadata.uid for entry in state.active):
            return
        meta = job.metadata
        state.active.append(
            ObjectReference(
                kind="Job", namespace=meta.namespace, name=meta.name, uid=meta.uid, api_version="batch/v1",
                resource_version=meta.resource_version,
            )
        )  # fmt: skip
        state.last_schedule = scheduled

    async def _create(self, cronjob: CronJob, body: Object, scheduled: datetime) -> Job | None:
        """The Job of this run, made now or by an earlier attempt; None if its name is taken by another."""
        key = cronjob.key
        try:
            job = await self._client.create(Job, body)
        except AlreadyExists:
            found = await self._client.get(Job, body["metadata"]["name"], key.namespace)
            owner = found.metadata.controller
            return found if owner is not None and owner.uid == cronjob.metadata.uid else None
        except ApiError as error:
            if not namespace_is_terminating(error):
                self._events.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        log.info("created job key=%s job=%s", key, job.metadata.name)
        if created := job.metadata.creation_timestamp:
            SKEW.observe((created - scheduled).total_seconds())
        self._events.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {job.metadata.name}")
        return job

    async def _delete(self, cronjob: CronJob, name: str, uid: str) -> None:
        try:
            await self._client.delete(
                Job, name, cronjob.metadata.namespace, uid=uid, propagation="Background"
            )
        except (NotFound, Conflict):
            return  # Gone already, or another Job has its name: that one is not meant.
        except ApiError as error:
            self._events.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        log.info("deleted job key=%s job=%s", cronjob.key, name)
        self._events.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {name}")

    async def _clean_up(self, cronjob: CronJob, jobs: Sequence[Job]) -> None:
        """Delete the finished Jobs beyond the history limits."""
        for job in list(plan.expendable(cronjob, jobs)):
            await self._delete(cronjob, job.metadata.name, job.metadata.uid)

    async def _write_status(self, cronjob: CronJob, state: Progress) -> CronJob:
        if state == progress(cronjob):
            return cronjob
        meta = cronjob.metadata
        patch = guarded(meta, {"status": state.body()})
        try:
            answer = await self._client.patch(CronJob, meta.name, meta.namespace, patch, subresource="status")
        except NotFound:
            return cronjob  # Deleted meanwhile: nobody to tell.
        return self._latest.wrote(answer)


def _reference(entry: ObjectReference) -> Object:
    parts = {
        "kind": entry.kind,
        "namespace": entry.namespace,
        "name": entry.name,
        "uid": entry.uid,
        "apiVersion": entry.api_version,
        "resourceVersion": entry.resource_version,
    }
    return {name: value for name, value in parts.items() if value}
