"""CronJob: each run once, at its time, whatever the policy, the clock and the network do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Conflict, InternalError, Timeout, TooManyRequests
from kplane.api.resource import Key, Resource
from kplane.api.types import CronJob, Job
from kplane.controllers.cronjob import CronJobController
from kplane.testing.batch import make_cronjob
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

KEY = Key("default", "tick")
JOBS = Resource("batch", "v1", "jobs", "Job", True, dict)
TABLE = ("batch", "jobs")
HOUR = 3600


def run(cluster: FakeCluster) -> None:
    context = cluster.context("cronjob-controller")
    controller = CronJobController(context)
    cluster.start(context.queue.run(controller.reconcile))


async def started(cluster: FakeCluster, **spec: Any) -> None:
    cluster.load(make_cronjob(**spec))
    run(cluster)
    await cluster.settle()


def stored(cluster: FakeCluster) -> CronJob:
    cronjob = cluster.get(CronJob, KEY)
    assert cronjob is not None
    return cronjob


def names(cluster: FakeCluster) -> list[str]:
    return [job.metadata.name for job in cluster.list(Job)]


def name_at(year: int, month: int, day: int, hour: int, minute: int = 0) -> str:
    return f"tick-{int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) // 60}"


def told(cluster: FakeCluster) -> list[str]:
    return [event.reason for event in cluster.events()]


def finish(cluster: FakeCluster, kind: str = "Complete") -> None:
    """All Jobs end."""
    now = rfc3339(cluster.clock.now())
    for job in cluster.list(JOBS):
        if job.get("status"):
            continue
        status = {
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now}],
            "startTime": now,
            "completionTime": now,
        }
        cluster.server.state.put(TABLE, Key("default", job["metadata"]["name"]), job | {"status": status})


async def test_a_job_is_made_at_its_time_under_its_name(cluster: FakeCluster) -> None:
    await started(cluster)
    await cluster.advance(HOUR - 1)
    assert names(cluster) == []
    await cluster.advance(2)

    (job,) = cluster.list(Job)
    assert job.metadata.name == name_at(2026, 1, 1, 1)
    assert (
        job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == "2026-01-01T01:00:00Z"
    )
    assert job.metadata.controller is not None
    assert job.metadata.controller.name == "tick"
    status = stored(cluster).status
    assert [entry.name for entry in status.active] == [job.metadata.name]
    assert status.last_schedule_time == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert told(cluster) == ["SuccessfulCreate"]


async def test_a_schedule_that_names_its_zone_is_kept_and_told(cluster: FakeCluster) -> None:
    schedule = "CRON_TZ=Asia/Kolkata 0 6 * * *"
    await started(cluster, schedule=schedule)

    await cluster.advance(HOUR)

    (job,) = cluster.list(Job)
    assert job.metadata.name == name_at(2026, 1, 1, 0, 30)
    scheduled = job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert scheduled == "2026-01-01T00:30:00Z"
    (why,) = {event.message for event in cluster.events() if event.reason == "UnsupportedSchedule"}
    assert why == (
        f'CRON_TZ or TZ used in schedule "{schedule}" is not officially supported, see'
        " https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
    )


async def test_a_finished_run_leaves_the_list(cluster: FakeCluster) -> None:
    await started(cluster)
    await cluster.advance(HOUR + 60)

    finish(cluster)
    await cluster.settle()

    status = stored(cluster).status
    assert status.active == ()
    assert status.last_successful_time == datetime(2026, 1, 1, 1, 1, tzinfo=UTC)
    (event,) = [event for event in cluster.events() if event.reason == "SawCompletedJob"]
    assert event.message == f"Saw completed job: {name_at(2026, 1, 1, 1)}, condition: Complete"


@pytest.mark.parametrize(
    ("policy", "active", "jobs"),
    [
        pytest.param("Allow", 3, 3, id="allow"),
        pytest.param("Forbid", 1, 1, id="forbid"),
        pytest.param("Replace", 1, 1, id="replace"),
    ],
)
async def test_what_happens_to_a_run_that_goes_on(
    cluster: FakeCluster, policy: str, active: int, jobs: int
) -> None:
    await started(cluster, concurrencyPolicy=policy)

    await cluster.advance(3 * HOUR + 60)

    assert len(stored(cluster).status.active) == active
    assert len(names(cluster)) == jobs
    latest = 1 if policy == "Forbid" else 3
    assert name_at(2026, 1, 1, latest) in names(cluster)
    assert ("JobAlreadyActive" in told(cluster)) == (policy == "Forbid")


async def test_a_forbidden_run_starts_when_the_one_before_has_ended(cluster: FakeCluster) -> None:
    await started(cluster, concurrencyPolicy="Forbid")
    await cluster.advance(2 * HOUR + 600)

    finish(cluster)
    await cluster.settle()

    assert names(cluster) == [name_at(2026, 1, 1, 1), name_at(2026, 1, 1, 2)]


async def test_a_suspended_cronjob_rests_and_then_catches_up_once(cluster: FakeCluster) -> None:
    await started(cluster, suspend=True)
    await cluster.advance(5 * HOUR + 60)
    assert names(cluster) == []

    await cluster.client().patch(CronJob, "tick", "default", {"spec": {"suspend": False}})
    await cluster.settle()

    assert names(cluster) == [name_at(2026, 1, 1, 5)]


async def test_runs_beyond_the_starting_deadline_are_left_out(cluster: FakeCluster) -> None:
    cluster.load(make_cronjob(startingDeadlineSeconds=30))
    await cluster.advance(HOUR + 60)
    run(cluster)

    await cluster.advance(60)
    assert names(cluster) == []
    await cluster.advance(HOUR)

    assert names(cluster) == [name_at(2026, 1, 1, 2)]


async def test_many_missed_runs_are_told_and_the_latest_is_made(cluster: FakeCluster) -> None:
    cluster.load(make_cronjob(schedule="* * * * *"))
    await cluster.advance(102 * 60 + 5)
    run(cluster)

    await cluster.settle()

    assert names(cluster) == [name_at(2026, 1, 1, 1, 42)]
    assert told(cluster)[0] == "TooManyMissedTimes"


async def test_history_is_limited(cluster: FakeCluster) -> None:
    await started(cluster, successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for hour in range(8):
        await cluster.advance(HOUR)
        finish(cluster, "Failed" if hour % 2 else "Complete")
        await cluster.settle()
    await cluster.settle()

    ends = [job.finished.type for job in cluster.list(Job) if job.finished]
    assert (ends.count("Complete"), ends.count("Failed")) == (2, 1)
    assert name_at(2026, 1, 1, 8) in names(cluster) or name_at(2026, 1, 1, 7) in names(cluster)


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        pytest.param(
            {"timeZone": "Mars/Base"}, "UnknownTimeZone",
            'invalid timeZone: "Mars/Base": unknown time zone Mars/Base', id="zone",
        ),
        pytest.param(
            {"timeZone": "../etc/passwd"}, "UnknownTimeZone",
            'invalid timeZone: "../etc/passwd": unknown time zone ../etc/passwd', id="path",
        ),
        pytest.param(
            {"schedule": "61 * * * *"}, "UnparseableSchedule",
            'unparseable schedule: "61 * * * *" : end of range (61) above maximum (59): 61', id="schedule",
        ),
        pytest.param(
            {"schedule": "TZ=Mars/Base * * * * *"}, "UnparseableSchedule",
            'unparseable schedule: "TZ=Mars/Base * * * * *" : provided bad location Mars/Base: unknown time'
            " zone Mars/Base", id="zone-in-schedule",
        ),
        pytest.param(
            {"schedule": "0 0 30 2 *"}, "InvalidSchedule",
            "invalid schedule: 0 0 30 2 * : time difference between two schedules is less than 1 second",
            id="never",
        ),
    ],
)  # fmt: skip
async def test_bad_schedules_are_told(
    cluster: FakeCluster, spec: dict[str, Any], reason: str, message: str
) -> None:
    await started(cluster, **spec)

    await cluster.advance(2 * HOUR)

    assert names(cluster) == []
    assert {(event.reason, event.message) for event in cluster.events()} == {(reason, message)}


@pytest.mark.parametrize(
    ("spec", "reasons"),
    [({"schedule": "61 * * * *"}, []), ({"timeZone": "Mars/Base"}, ["UnknownTimeZone"])],
)
async def test_a_suspended_cronjob_tells_of_its_zone_only(
    cluster: FakeCluster, spec: dict[str, Any], reasons: list[str]
) -> None:
    await started(cluster, suspend=True, **spec)

    assert told(cluster) == reasons


async def test_a_run_that_vanished_is_told(cluster: FakeCluster) -> None:
    await started(cluster)
    await cluster.advance(HOUR + 60)

    cluster.delete(Job, Key("default", names(cluster)[0]))
    await cluster.settle()

    assert stored(cluster).status.active == ()
    assert "MissingJob" in told(cluster)


async def test_a_foreign_job_of_that_name_is_left_alone(cluster: FakeCluster) -> None:
    cluster.load(make_object("batch/v1", "Job", name_at(2026, 1, 1, 1), "default", spec={}))
    await started(cluster)

    await cluster.advance(HOUR + 60)

    assert stored(cluster).status.active == ()
    assert len(names(cluster)) == 1


@pytest.mark.parametrize("crash", ["refused", "lost"])
async def test_a_run_whose_status_was_not_written_is_not_repeated(cluster: FakeCluster, crash: str) -> None:
    cluster.load(make_cronjob(successfulJobsHistoryLimit=0))
    await cluster.advance(HOUR + 60)
    if crash == "refused":
        cluster.faults.fail_next(plural="cronjobs")
    else:
        cluster.faults.lose_next_answers(plural="cronjobs")
    run(cluster)
    await cluster.settle()
    finish(cluster)

    await cluster.advance(600)

    assert names(cluster) == []
    assert told(cluster).count("SuccessfulCreate") == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_every_run_happens_once(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        made: list[str] = []
        cluster.load(make_cronjob(schedule="*/10 * * * *", successfulJobsHistoryLimit=1))
        run(cluster)
        watch = cluster.context().informer(Job)
        watch.on_change(lambda old, new: made.append(new.metadata.name) if old is None and new else None)
        for _ in range(72):
            await cluster.advance(300)
            break_something(cluster, dice)
            await cluster.advance(300)
            finish(cluster)
        await cluster.advance(300)

        expected = [
            f"tick-{int((datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * turn)).timestamp()) // 60}"
            for turn in range(1, 73)
        ]
        assert sorted(made) == expected


def break_something(cluster: FakeCluster, dice: Entropy) -> None:
    errors = [
        InternalError("broken"),
        Conflict("modified"),
        TooManyRequests("slow down"),
        Timeout("too slow"),
    ]
    kind = dice.choice(["refuse", "status", "lose", "drop", "restart", "nothing"])
    if kind == "refuse":
        cluster.faults.fail_next(dice.choice(errors), times=3)
    elif kind == "status":
        cluster.faults.fail_next(dice.choice(errors), times=2, plural="cronjobs")
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2)
    elif kind == "drop":
        cluster.drop_watches()
    elif kind == "restart":
        run(cluster)


@pytest.mark.slow
async def test_a_year_of_daily_runs_in_new_york(cluster: FakeCluster) -> None:
    made: list[str] = []
    await started(cluster, schedule="30 1 * * *", timeZone="America/New_York")
    watch = cluster.context().informer(Job)
    watch.on_change(lambda old, new: made.append(new.metadata.name) if old is None and new else None)
    for _ in range(365):
        await cluster.advance(24 * HOUR)
        finish(cluster)
    await cluster.settle()

    # The clock shows 1:30 twice on the first of November.
    assert len(made) == len(set(made)) == 366
    assert len(names(cluster)) == 3
