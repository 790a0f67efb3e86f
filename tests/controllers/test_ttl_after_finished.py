"""TTL after finished: Jobs go when their time has come, and not before."""

from __future__ import annotations

from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Job
from kplane.controllers.ttl_after_finished import TTLAfterFinishedController
from kplane.testing.batch import make_job
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import CREATED

KEY = Key("default", "work")
DONE: Object = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": CREATED}]}


def run(cluster: FakeCluster) -> None:
    context = cluster.context("ttl-after-finished-controller")
    controller = TTLAfterFinishedController(context)
    cluster.start(context.queue.run(controller.reconcile))


def deleting(cluster: FakeCluster) -> bool:
    job = cluster.get(Job, KEY)
    return job is None or job.metadata.deletion_timestamp is not None


async def test_a_finished_job_goes_after_its_ttl_with_its_pods(cluster: FakeCluster) -> None:
    cluster.load(make_job(ttlSecondsAfterFinished=100, status=DONE))
    run(cluster)

    await cluster.advance(99)
    assert not deleting(cluster)
    await cluster.advance(2)

    job = cluster.get(Job, KEY)
    assert deleting(cluster)
    assert job is not None
    assert job.metadata.finalizers == ("foregroundDeletion",)


async def test_jobs_without_ttl_or_end_stay(cluster: FakeCluster) -> None:
    cluster.load(make_job(status=DONE), make_job("going", ttlSecondsAfterFinished=0))
    run(cluster)

    await cluster.advance(1000)

    assert {job.metadata.name for job in cluster.list(Job)} == {"work", "going"}


async def test_a_ttl_that_was_extended_counts(cluster: FakeCluster) -> None:
    cluster.load(make_job(ttlSecondsAfterFinished=100, status=DONE))
    run(cluster)
    await cluster.advance(50)

    await cluster.client().patch(Job, "work", "default", {"spec": {"ttlSecondsAfterFinished": 300}})
    await cluster.advance(200)
    assert not deleting(cluster)
    await cluster.advance(100)

    assert deleting(cluster)


async def test_a_refused_deletion_is_tried_again(cluster: FakeCluster) -> None:
    cluster.load(make_job(ttlSecondsAfterFinished=0, status=DONE))
    cluster.faults.fail_next(InternalError("broken"), methods=("DELETE",), times=2)
    run(cluster)

    await cluster.advance(5)

    assert deleting(cluster)
