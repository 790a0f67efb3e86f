"""What the suite does with CronJobs, against the real API server, by a clock that hurries.

Jobs run on until the test ends their Pods."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.types import CronJob, Job
from kplane.client.rest import Client, PatchType
from kplane.testing.waiting import eventually

from ..job.test_with_apiserver import client, end_pods, job_spec

__all__ = ["client"]  # A fixture.

pytestmark = pytest.mark.slow


async def begin(client: Client, policy: str, **spec: Any) -> None:
    cronjob = {
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {
            "schedule": "*/1 * * * ?",
            "concurrencyPolicy": policy,
            "jobTemplate": {"spec": job_spec()},
            **spec,
        },
    }
    await client.create(CronJob, cronjob)


async def listed(client: Client) -> list[str]:
    """The active Jobs, as the CronJob says."""
    return [entry.name for entry in (await client.get(CronJob, "tick", "default")).status.active]


async def until_listed(client: Client, count: int) -> list[str]:
    async def so_many() -> bool:
        return len(await listed(client)) == count

    await eventually(so_many, what=f"{count} active Jobs")
    return await listed(client)


async def reasons(client: Client) -> set[str]:
    events = await client.raw("GET", "/api/v1/namespaces/default/events")
    return {reason for reason in REASONS if reason.encode() in events}


REASONS = ("JobAlreadyActive", "SuccessfulDelete", "UnexpectedJob", "MissingJob", "SawCompletedJob")


async def test_a_run_is_forbidden_while_another_goes_on(client: Client) -> None:
    await begin(client, "Forbid")
    first = await until_listed(client, 1)

    async def told() -> bool:
        return "JobAlreadyActive" in await reasons(client)

    await eventually(told, what="a run left out")
    assert await listed(client) == first
    assert [job.metadata.name for job in (await client.list(Job, "default")).items] == first


async def test_a_run_replaces_the_one_before(client: Client) -> None:
    await begin(client, "Replace")
    first = await until_listed(client, 1)

    async def replaced() -> bool:
        now = await listed(client)
        return len(now) == 1 and now != first

    await eventually(replaced, what="another run")
    jobs = [job.metadata.name for job in (await client.list(Job, "default")).items]
    assert first[0] not in jobs
    assert await reasons(client) == {"SuccessfulDelete"}


async def test_runs_go_on_side_by_side_and_leave_the_list_when_they_are_deleted(client: Client) -> None:
    await begin(client, "Allow")
    first, second = await until_listed(client, 2)
    await client.patch(CronJob, "tick", "default", {"spec": {"suspend": True}}, kind=PatchType.MERGE)

    await client.delete(Job, first, "default", propagation="Background")

    async def dropped() -> bool:
        return first not in await listed(client)

    await eventually(dropped, what="a shorter list")
    assert second in await listed(client)
    assert "UnexpectedJob" not in await reasons(client)


@pytest.mark.parametrize(
    "limit",
    [{"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}, {"successfulJobsHistoryLimit": 0}],
)
async def test_finished_runs_are_kept_as_the_limits_say(client: Client, limit: dict[str, int]) -> None:
    await begin(client, "Allow", **limit)
    ended: set[str] = set()

    async def two_ended() -> bool:
        ended.update(await listed(client))
        await end_pods(client)
        return len(ended) > 1

    await eventually(two_ended, what="two runs")
    await client.patch(CronJob, "tick", "default", {"spec": {"suspend": True}}, kind=PatchType.MERGE)

    async def kept() -> bool:
        await end_pods(client)
        jobs = (await client.list(Job, "default")).items
        done = [job for job in jobs if job.finished]
        return len(done) == len(jobs) == limit["successfulJobsHistoryLimit"] and not await listed(client)

    await eventually(kept, what="so many finished Jobs")
    assert "SawCompletedJob" in await reasons(client)
