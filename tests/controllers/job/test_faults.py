"""Job under faults: whatever fails, every Pod is counted exactly once."""

from __future__ import annotations

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError, Timeout, TooManyRequests
from kplane.api.resource import Key
from kplane.api.types import Job, Pod
from kplane.controllers.job import JobController
from kplane.testing.batch import TRACKING, end_pod, make_job
from kplane.testing.cluster import FakeCluster

KEY = Key("default", "work")


def run(cluster: FakeCluster) -> None:
    context = cluster.context("job-controller")
    controller = JobController(context)
    cluster.start(context.queue.run(controller.reconcile))


def break_something(cluster: FakeCluster, dice: Entropy) -> None:
    errors = [
        InternalError("broken"),
        Conflict("modified"),
        TooManyRequests("slow down"),
        Timeout("too slow"),
    ]
    kind = dice.choice(["refuse", "refuse-status", "lose", "drop", "compact", "restart"])
    if kind == "refuse":
        cluster.faults.fail_next(dice.choice(errors), times=3)
    elif kind == "refuse-status":
        cluster.faults.fail_next(dice.choice(errors), times=2, plural="jobs")
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=3)
    elif kind == "drop":
        cluster.drop_watches()
    elif kind == "compact":
        cluster.compact()
        cluster.drop_watches()
    else:
        run(cluster)  # A second controller, as after a restart whose predecessor lingers.


def end_some(cluster: FakeCluster, dice: Entropy, ended: dict[str, str]) -> None:
    """Some Pods end, most of them well; notes how, by uid."""
    for pod in cluster.list(Pod):
        if pod.active and dice.uniform(0, 1) < 0.6:
            phase = "Succeeded" if dice.uniform(0, 1) < 0.7 else "Failed"
            end_pod(cluster, pod, phase)
            ended[pod.metadata.uid] = phase


@pytest.mark.parametrize("mode", ["NonIndexed", "Indexed"])
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_every_pod_is_counted_once(seed: int, mode: str) -> None:
    dice = Entropy(seed)
    ended: dict[str, str] = {}
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_job(parallelism=4, completions=20, backoffLimit=500, completionMode=mode))
        run(cluster)
        for turn in range(400):
            if turn < 60:
                break_something(cluster, dice)
            await cluster.advance(dice.uniform(0, 90))
            end_some(cluster, dice, ended)
            job = cluster.get(Job, KEY)
            assert job is not None
            if job.finished:
                break
        await cluster.advance(60)

        job = cluster.get(Job, KEY)
        assert job is not None
        assert job.finished is not None
        assert job.finished.type == "Complete"
        outcomes = list(ended.values())
        assert job.status.failed == outcomes.count("Failed")
        if mode == "Indexed":
            assert job.status.completed_indexes == "0-19"
        else:
            assert job.status.succeeded == outcomes.count("Succeeded")
        assert not any(TRACKING in pod.metadata.finalizers for pod in cluster.list(Pod))
