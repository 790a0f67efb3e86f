"""CronJob, Job and TTL controllers against the real API server, in this process; the test plays kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock, rfc3339
from kplane.api.errors import NotFound
from kplane.api.resource import Object
from kplane.api.types import CronJob, Job, Namespace, Pod
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.testing.waiting import eventually

TOKEN = "secret"
CONTROLLERS = (
    "cronjob-controller", "garbage-collector-controller", "job-controller", "ttl-after-finished-controller",
)  # fmt: skip


class HurriedClock(SystemClock):
    """A clock whose time passes 20 times as fast: nobody waits out minutes."""

    PACE = 20

    def __init__(self) -> None:
        self._start = super().now()
        self._origin = super().monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (super().monotonic() - self._origin) * self.PACE

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.PACE)


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a server whose Jobs are under control."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )
    clock = HurriedClock()
    async with ApiServer(config, clock) as server:
        client = Client(AsgiTransport(server.app, token=TOKEN))
        try:
            await client.get(Namespace, "default")
        except NotFound:
            await client.create(Namespace, {"metadata": {"name": "default"}})
        manager = Manager(client, clock, Entropy(), Config(controllers=CONTROLLERS))
        controllers = asyncio.create_task(manager.run())
        yield client
        controllers.cancel()
        with suppress(asyncio.CancelledError):
            await controllers


def job_spec(**spec: object) -> Object:
    container = {"name": "work", "image": "work:1"}
    return {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}, **spec}


async def end_pods(client: Client, failing: frozenset[str] = frozenset()) -> None:
    """What kubelets do, once: Pods end, badly the first ones of the indexes in `failing`."""
    now = rfc3339(SystemClock().now())
    for pod in (await client.list(Pod, "default")).items:
        if not pod.active:
            continue
        index = pod.metadata.annotations.get("batch.kubernetes.io/job-completion-index", "")
        again = pod.metadata.annotations.get("batch.kubernetes.io/job-index-failure-count", "0") != "0"
        code = 1 if index in failing and not again else 0
        ended = {"exitCode": code, "finishedAt": now, "startedAt": now}
        container = {"name": "work", "image": "work:1", "imageID": "", "ready": False, "restartCount": 0}
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [container | {"state": {"terminated": ended}}],
        }
        await client.patch(Pod, pod.metadata.name, "default", {"status": status}, subresource="status")


@pytest.mark.slow
async def test_an_indexed_job_runs_to_its_end_and_goes(client: Client) -> None:
    spec = job_spec(
        completions=5,
        parallelism=3,
        completionMode="Indexed",
        backoffLimitPerIndex=1,
        ttlSecondsAfterFinished=20,
    )
    await client.create(Job, {"metadata": {"name": "work", "namespace": "default"}, "spec": spec})
    ended: list[Job] = []

    async def finished() -> bool:
        await end_pods(client, frozenset({"2"}))
        job = await client.get(Job, "work", "default")
        ended.extend([job] if job.finished else [])
        return bool(ended)

    await eventually(finished, what="the end of the Job")
    job = ended[0]
    assert job.finished is not None
    assert (job.finished.type, job.finished.reason) == ("Complete", "CompletionsReached")
    assert (job.status.completed_indexes, job.status.succeeded, job.status.failed) == ("0-4", 5, 1)

    async def gone() -> bool:
        jobs, pods = await client.list(Job, "default"), await client.list(Pod, "default")
        return not jobs.items and not pods.items

    await eventually(gone, what="the Job and its Pods gone")


@pytest.mark.slow
async def test_a_cronjob_makes_jobs_that_run(client: Client) -> None:
    cronjob = {
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {
            "schedule": "@every 30s",
            "successfulJobsHistoryLimit": 2,
            "jobTemplate": {"spec": job_spec()},
        },
    }
    await client.create(CronJob, cronjob)
    seen: set[str] = set()

    async def three_runs() -> bool:
        await end_pods(client)
        seen.update(job.metadata.name for job in (await client.list(Job, "default")).items if job.finished)
        found = await client.get(CronJob, "tick", "default")
        return len(seen) >= 3 and found.status.last_successful_time is not None

    await eventually(three_runs, what="three runs")

    async def history_is_kept_short() -> bool:
        jobs = (await client.list(Job, "default")).items
        return len([job for job in jobs if job.finished]) <= 2

    await eventually(history_is_kept_short, what="two finished Jobs")
