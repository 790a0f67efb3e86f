"""What a CronJob's clock says: which run is due, how long until the next, which finished Jobs may go. Pure.

Rules: upstream's `pkg/controller/cronjob/utils.go`. Elsewhere: reading schedules (kplane.api.cron), acting
(controller.py).

Invariant: the name of a Job follows from its CronJob and its scheduled minute, so that no run is made twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kplane.api import cron
from kplane.api.resource import Object
from kplane.api.types import CronJob, Job

from ..adoption import controller_reference

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY = 100
"""More missed runs than this are worth a warning."""
DELTA = 0.1
"""Seconds by which a wake-up is late, so that it never comes too early."""


class BadSchedule(Exception):
    """Only a new spec can help. Its arguments are the reason and message of the Event."""


@dataclass(frozen=True)
class Timetable:
    """A CronJob's schedule in its time zone."""

    schedule: cron.Schedule
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        return self.schedule.next(after, self.zone)


@dataclass(frozen=True)
class Missed:
    """The runs between the last known moment and now."""

    since: datetime
    latest: datetime | None = None
    count: int = 0


def timetable(cronjob: CronJob) -> Timetable:
    """Read schedule and time zone. Raises BadSchedule."""
    zone, schedule = zone_of(cronjob), cronjob.spec.schedule
    try:
        return _timetable(schedule, zone)
    except cron.ScheduleError as error:
        why = f'unparseable schedule: "{schedule}" : {error}'
        raise BadSchedule("UnparseableSchedule", why) from error


def zone_of(cronjob: CronJob) -> tzinfo:
    """Raises BadSchedule."""
    name = cronjob.spec.time_zone
    try:
        return UTC if name is None else _zone(name)
    except UnknownZone as error:
        raise BadSchedule("UnknownTimeZone", f'invalid timeZone: "{name}": {error}') from error


def names_zone(schedule: str) -> bool:
    """Whether a schedule tells its time zone itself: only old ones may."""
    return "TZ" in schedule


class UnknownZone(ValueError):
    """There is no time zone of this name."""


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(f"unknown time zone {name}") from error


def _timetable(schedule: str, zone: tzinfo) -> Timetable:
    """Raises ScheduleError."""
    prefix, _, rest = schedule.partition(" ")
    if not prefix.startswith(("TZ=", "CRON_TZ=")):
        return Timetable(cron.parse(schedule), zone)
    name = prefix.partition("=")[2]
    try:
        zone = UTC if name in ("", "Local") else _zone(name)
    except UnknownZone as error:
        raise cron.ScheduleError(f"provided bad location {name}: {error}") from error
    return Timetable(cron.parse(rest.strip()), zone)


def missed(cronjob: CronJob, times: Timetable, now: datetime, *, deadline: bool) -> Missed:
    """The runs since the last one, or since the creation; with `deadline`, none that is too late by now.
    Raises BadSchedule for a schedule that is never due."""
    since = cronjob.status.last_schedule_time or cronjob.metadata.creation_timestamp or now
    limit = cronjob.spec.starting_deadline_seconds
    if deadline and limit is not None:
        since = max(since, _before(now, limit))
    first = times.next(since)
    second = times.next(first) if first else None
    if first is None or second is None:
        why = "time difference between two schedules is less than 1 second"
        raise BadSchedule("InvalidSchedule", f"invalid schedule: {cronjob.spec.schedule} : {why}")
    if now < first:
        return Missed(since)
    if now < second:
        return Missed(since, first, 1)
    return _many(times, Missed(since, first), second - first, now)


def _many(times: Timetable, known: Missed, interval: timedelta, now: datetime) -> Missed:
    """More than one was missed. Their number is estimated from the first interval, because counting years of
    minutes would take too long; the latest of them is exact."""
    assert known.latest is not None
    first = known.latest
    count = (now - first) // interval + 1
    latest = None
    moment = times.next(first + (count - 2) * interval)
    while moment is not None and moment <= now:
        latest, moment = moment, times.next(moment)
    return Missed(known.since, latest, count)


def _before(now: datetime, seconds: int) -> datetime:
    """`seconds` before now, as far back as dates go."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def wait(cronjob: CronJob, times: Timetable, now: datetime) -> float:
    """Seconds until the next run. Raises BadSchedule."""
    runs = missed(cronjob, times, now, deadline=False)
    last = runs.latest or (now if runs.count else runs.since)
    following = times.next(last)
    if following is None:
        raise BadSchedule("InvalidSchedule", f"invalid schedule: {cronjob.spec.schedule} : never due again")
    return max((following - now).total_seconds(), 0) + DELTA


def too_late(cronjob: CronJob, scheduled: datetime, now: datetime) -> bool:
    limit = cronjob.spec.starting_deadline_seconds
    return limit is not None and scheduled < _before(now, limit)


def job_name(cronjob: CronJob, scheduled: datetime) -> str:
    return f"{cronjob.metadata.name}-{int(scheduled.timestamp()) // 60}"


def job_body(cronjob: CronJob, scheduled: datetime, zone: tzinfo) -> Object:
    """The Job of one run."""
    template = cronjob.spec.job_template
    metadata = template.get("metadata") or {}
    if cronjob.spec.time_zone is None:
        zone = UTC
    when = scheduled.astimezone(zone).isoformat().replace("+00:00", "Z")
    made: Object = {
        "name": job_name(cronjob, scheduled),
        "namespace": cronjob.metadata.namespace,
        "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: when},
        "ownerReferences": [controller_reference(cronjob)],
    }
    if labels := metadata.get("labels"):
        made["labels"] = labels
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": made, "spec": template.get("spec") or {}}


def expendable(cronjob: CronJob, jobs: Iterable[Job]) -> Iterator[Job]:
    """The finished Jobs beyond the history limits, oldest first."""
    limits = {
        "Complete": cronjob.spec.successful_jobs_history_limit,
        "Failed": cronjob.spec.failed_jobs_history_limit,
    }
    finished = [(job, job.finished) for job in jobs if job.metadata.deletion_timestamp is None]
    for kind, limit in limits.items():
        if limit is None:
            continue
        old = sorted((job for job, end in finished if end and end.type == kind), key=_start)
        yield from old[: max(len(old) - limit, 0)]


def _start(job: Job) -> tuple[bool, float, str]:
    started = job.status.start_time
    return started is None, started.timestamp() if started else 0, job.metadata.name


def last_success(cronjob: CronJob, jobs: Iterable[Job]) -> datetime | None:
    """When the latest successful run was completed."""
    ends = [job.finished for job in jobs]
    done = [
        job.status.completion_time
        for job, end in zip(jobs, ends, strict=True)
        if end and end.type == "Complete"
    ]
    return max((end for end in (cronjob.status.last_successful_time, *done) if end), default=None)
