"""Job: Pods are created, counted once, and the Job ends as upstream's does."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.resource import Key, Object, Resource
from kplane.api.types import Job, Pod
from kplane.api.types.meta import condition
from kplane.controllers.job import JobController
from kplane.testing.batch import TRACKING, end_pod, make_job, make_job_template, reap
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod

KEY = Key("default", "work")
PODS = Resource("", "v1", "pods", "Pod", True, dict)


def run(cluster: FakeCluster) -> None:
    """A Job controller as the manager runs it."""
    context = cluster.context("job-controller")
    controller = JobController(context)
    cluster.start(context.queue.run(controller.reconcile))


async def started(cluster: FakeCluster, **spec: Any) -> None:
    """A Job and its controller, after their first steps."""
    cluster.load(make_job(**spec))
    run(cluster)
    await cluster.settle()


def bind(cluster: FakeCluster) -> None:
    """What the scheduler does: from now on deleted Pods take their time."""
    for pod in cluster.list(PODS):
        key = Key("default", pod["metadata"]["name"])
        cluster.server.state.put(("", "pods"), key, pod | {"spec": pod["spec"] | {"nodeName": "node-1"}})


async def change(cluster: FakeCluster, **spec: Any) -> None:
    await cluster.client().patch(Job, "work", "default", {"spec": spec})
    await cluster.advance(2)


def stored(cluster: FakeCluster) -> Job:
    job = cluster.get(Job, KEY)
    assert job is not None
    return job


def active(cluster: FakeCluster) -> list[Pod]:
    return [pod for pod in cluster.list(Pod) if pod.active]


def indexes(pods: list[Pod]) -> list[int]:
    return sorted(int(pod.metadata.annotations["batch.kubernetes.io/job-completion-index"]) for pod in pods)


def at(cluster: FakeCluster, index: int) -> Pod:
    (pod,) = [pod for pod in active(cluster) if indexes([pod]) == [index]]
    return pod


async def end(cluster: FakeCluster, *pods: Pod, phase: str = "Succeeded", **how: Any) -> None:
    for pod in pods:
        end_pod(cluster, pod, phase, **how)
    await cluster.advance(2)


async def fail(cluster: FakeCluster, *pods: Pod, code: int = 1, **how: Any) -> None:
    await end(cluster, *pods, phase="Failed", code=code, **how)


async def reaped(cluster: FakeCluster) -> None:
    for _ in range(4):
        reap(cluster)
        await cluster.advance(2)


def ended(cluster: FakeCluster) -> tuple[str, str, str]:
    """Type, reason and message of the condition that ended the Job."""
    found = stored(cluster).finished
    assert found is not None
    return found.type, found.reason, found.message


def tally(cluster: FakeCluster) -> tuple[int, int, int]:
    status = stored(cluster).status
    return status.active, status.succeeded, status.failed


def held(cluster: FakeCluster) -> list[str]:
    return [pod.metadata.name for pod in cluster.list(Pod) if TRACKING in pod.metadata.finalizers]


async def test_pods_run_in_parallel_until_enough_have_succeeded(cluster: FakeCluster) -> None:
    await started(cluster, parallelism=2, completions=3)
    assert tally(cluster) == (2, 0, 0)
    assert len(held(cluster)) == 2

    await end(cluster, *active(cluster))
    assert tally(cluster) == (1, 2, 0)
    await end(cluster, *active(cluster))

    assert tally(cluster) == (0, 3, 0)
    assert ended(cluster) == ("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    status = stored(cluster).status
    assert [entry.type for entry in status.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert status.start_time is not None
    assert status.completion_time is not None
    assert held(cluster) == []
    assert [event.reason for event in cluster.events()] == ["SuccessfulCreate"] * 3 + ["Completed"]


async def test_without_completions_one_success_ends_the_work(cluster: FakeCluster) -> None:
    await started(cluster, parallelism=3, completions=None)
    first, *others = active(cluster)

    await end(cluster, first)
    assert stored(cluster).finished is None
    assert len(active(cluster)) == 2
    await end(cluster, *others)

    assert ended(cluster)[0] == "Complete"
    assert tally(cluster) == (0, 3, 0)


async def test_a_job_of_nothing_is_complete_at_once(cluster: FakeCluster) -> None:
    await started(cluster, completions=0)

    assert ended(cluster)[0] == "Complete"
    assert active(cluster) == []


async def test_a_suspended_job_of_nothing_is_complete_and_never_started(cluster: FakeCluster) -> None:
    await started(cluster, completions=0, suspend=True)

    assert ended(cluster)[0] == "Complete"
    assert stored(cluster).status.start_time is None


async def test_failed_pods_are_replaced_after_growing_delays(cluster: FakeCluster) -> None:
    await started(cluster)
    await fail(cluster, *active(cluster))
    assert active(cluster) == []
    await cluster.advance(10)
    assert len(active(cluster)) == 1
    await fail(cluster, *active(cluster))
    await cluster.advance(15)
    assert active(cluster) == []
    await cluster.advance(5)

    assert len(active(cluster)) == 1
    assert tally(cluster) == (1, 0, 2)


async def test_too_many_failures_end_the_job_and_stop_its_pods(cluster: FakeCluster) -> None:
    await started(cluster, parallelism=2, completions=2, backoffLimit=0)
    bind(cluster)
    first, _ = active(cluster)

    await fail(cluster, first)
    assert condition(stored(cluster).status.conditions, "FailureTarget") is not None
    assert stored(cluster).finished is None
    await reaped(cluster)

    assert ended(cluster) == ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert tally(cluster) == (0, 0, 2)
    assert held(cluster) == []


async def test_restarts_in_place_count_towards_the_limit(cluster: FakeCluster) -> None:
    await started(cluster, backoffLimit=2, template=make_job_template("OnFailure"))
    (pod,) = active(cluster)
    status = {"phase": "Running", "containerStatuses": [{"name": "work", "restartCount": 2}]}
    await cluster.client().patch(Pod, pod.metadata.name, "default", {"status": status}, subresource="status")

    await cluster.advance(2)
    await reaped(cluster)

    assert ended(cluster)[1] == "BackoffLimitExceeded"


async def test_a_job_that_takes_too_long_fails(cluster: FakeCluster) -> None:
    await started(cluster, activeDeadlineSeconds=60)
    await cluster.advance(59)
    assert stored(cluster).finished is None

    await cluster.advance(2)
    await reaped(cluster)

    assert ended(cluster) == (
        "Failed", "DeadlineExceeded", "Job was active longer than specified deadline",
    )  # fmt: skip


async def test_a_suspended_job_has_no_pods_and_its_deadline_rests(cluster: FakeCluster) -> None:
    await started(cluster, activeDeadlineSeconds=60, parallelism=2, completions=2)
    await cluster.advance(30)
    await change(cluster, suspend=True)
    await reaped(cluster)
    suspended = condition(stored(cluster).status.conditions, "Suspended")
    assert suspended is not None
    assert (suspended.status, suspended.reason) == ("True", "JobSuspended")
    assert tally(cluster) == (0, 0, 0)
    assert stored(cluster).status.start_time is None
    await cluster.advance(100)

    await change(cluster, suspend=False)
    await cluster.advance(40)

    assert len(active(cluster)) == 2
    assert stored(cluster).finished is None
    resumed = condition(stored(cluster).status.conditions, "Suspended")
    assert resumed is not None
    assert (resumed.status, resumed.reason) == ("False", "JobResumed")
    assert stored(cluster).status.start_time == resumed.last_transition_time
    assert {event.reason for event in cluster.events()} >= {"Suspended", "Resumed"}


async def test_a_job_created_suspended_has_not_started(cluster: FakeCluster) -> None:
    await started(cluster, suspend=True)

    assert active(cluster) == []
    assert stored(cluster).status.start_time is None


async def test_a_job_that_fails_while_it_is_suspended_has_started(cluster: FakeCluster) -> None:
    await started(cluster, backoffLimit=0, podReplacementPolicy="Failed")
    bind(cluster)
    (pod,) = active(cluster)
    await change(cluster, suspend=True)
    assert stored(cluster).status.start_time is None
    cluster.load(make_pod("late", labels=pod.metadata.labels, finalizers=[TRACKING], phase="Failed"))

    await cluster.advance(2)
    await reaped(cluster)

    assert ended(cluster)[:2] == ("Failed", "BackoffLimitExceeded")
    assert stored(cluster).status.start_time is not None


async def test_parallelism_can_be_lowered_without_failures(cluster: FakeCluster) -> None:
    await started(cluster, parallelism=3, completions=5)

    await change(cluster, parallelism=1)
    await reaped(cluster)

    assert tally(cluster) == (1, 0, 0)


async def test_the_job_of_another_controller_is_left_alone(cluster: FakeCluster) -> None:
    await started(cluster, managedBy="example.com/queue")

    assert list(cluster.list(Pod)) == []
    assert stored(cluster).status.start_time is None


async def test_indexed_pods_know_their_index(cluster: FakeCluster) -> None:
    await started(cluster, completionMode="Indexed", parallelism=2, completions=3)

    found = [pod["metadata"] | pod["spec"] for pod in cluster.list(PODS)]
    assert indexes(active(cluster)) == [0, 1]
    first = min(found, key=lambda pod: str(pod["hostname"]))
    assert first["hostname"] == "work-0"
    assert first["name"].startswith("work-0-")
    assert first["labels"]["batch.kubernetes.io/job-completion-index"] == "0"
    (env,) = first["containers"][0]["env"]
    assert env["name"] == "JOB_COMPLETION_INDEX"


async def test_an_indexed_job_needs_every_index_once(cluster: FakeCluster) -> None:
    await started(cluster, completionMode="Indexed", parallelism=3, completions=4)
    await end(cluster, at(cluster, 0), at(cluster, 2))
    assert stored(cluster).status.completed_indexes == "0,2"
    await fail(cluster, at(cluster, 1))
    await cluster.advance(15)
    assert indexes(active(cluster)) == [1, 3]
    await end(cluster, *active(cluster))

    assert ended(cluster)[0] == "Complete"
    assert stored(cluster).status.completed_indexes == "0-3"
    assert tally(cluster) == (0, 4, 1)


async def test_doubled_and_unknown_indexes_are_removed(cluster: FakeCluster) -> None:
    job = make_job(completionMode="Indexed", parallelism=2, completions=2)
    for name, index in (("a", "0"), ("b", "0"), ("c", "7"), ("d", "9" * 5000), ("e", "١")):
        pod = make_pod(name, labels={"job": "work"}, owner=job, finalizers=[TRACKING])
        pod["metadata"]["finalizers"] = [TRACKING]
        pod["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": index}
        cluster.load(pod)
    cluster.load(job)
    run(cluster)
    await cluster.settle()
    await reaped(cluster)

    assert indexes(active(cluster)) == [0, 1]
    assert tally(cluster) == (2, 0, 0)


async def test_each_index_may_fail_so_often(cluster: FakeCluster) -> None:
    await started(
        cluster,
        completionMode="Indexed",
        parallelism=2,
        completions=2,
        backoffLimit=2**31 - 1,
        backoffLimitPerIndex=1,
    )
    await end(cluster, at(cluster, 1))
    await fail(cluster, at(cluster, 0))
    assert len(held(cluster)) == 1
    await cluster.advance(15)
    again = at(cluster, 0)
    assert again.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] == "1"
    await fail(cluster, again)

    assert ended(cluster) == ("Failed", "FailedIndexes", "Job has failed indexes")
    status = stored(cluster).status
    assert (status.completed_indexes, status.failed_indexes) == ("1", "0")
    assert tally(cluster) == (0, 1, 2)
    assert held(cluster) == []


async def test_too_many_failed_indexes_end_the_job(cluster: FakeCluster) -> None:
    await started(
        cluster, completionMode="Indexed", parallelism=3, completions=3, backoffLimit=2**31 - 1,
        backoffLimitPerIndex=0, maxFailedIndexes=1,
    )  # fmt: skip
    await fail(cluster, at(cluster, 0))
    assert stored(cluster).finished is None
    await fail(cluster, at(cluster, 2))
    await reaped(cluster)

    assert ended(cluster) == (
        "Failed",
        "MaxFailedIndexesExceeded",
        "Job has exceeded the specified maximal number of failed indexes",
    )
    assert stored(cluster).status.failed_indexes == "0,2"


def rule(action: str, **match: Any) -> Object:
    return {"rules": [{"action": action, **match}]}


BAD_EXIT: Object = {"onExitCodes": {"operator": "In", "values": [42]}}
DISRUPTED: Object = {"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


async def test_an_exit_code_may_end_the_job(cluster: FakeCluster) -> None:
    await started(
        cluster,
        parallelism=2,
        completions=2,
        podReplacementPolicy="Failed",
        podFailurePolicy=rule("FailJob", **BAD_EXIT),
    )
    first, _ = active(cluster)

    await fail(cluster, first, code=42)
    await reaped(cluster)

    assert ended(cluster) == (
        "Failed",
        "PodFailurePolicy",
        f"Container work for pod default/{first.metadata.name} failed with exit code 42 "
        "matching FailJob rule at index 0",
    )


async def test_ignored_failures_do_not_count(cluster: FakeCluster) -> None:
    await started(
        cluster, backoffLimit=0, podReplacementPolicy="Failed", podFailurePolicy=rule("Ignore", **DISRUPTED)
    )

    await fail(cluster, *active(cluster), disruption=True)
    await cluster.advance(15)

    assert tally(cluster) == (1, 0, 0)


async def test_an_exit_code_may_fail_its_index_at_once(cluster: FakeCluster) -> None:
    await started(
        cluster, completionMode="Indexed", parallelism=2, completions=2, backoffLimit=2**31 - 1,
        backoffLimitPerIndex=5, podReplacementPolicy="Failed",
        podFailurePolicy={"rules": [{"action": "FailIndex", **BAD_EXIT}]},
    )  # fmt: skip

    await fail(cluster, at(cluster, 0), code=42)
    await end(cluster, at(cluster, 1))

    assert ended(cluster)[1] == "FailedIndexes"
    assert stored(cluster).status.failed_indexes == "0"


async def test_success_of_some_indexes_may_be_enough(cluster: FakeCluster) -> None:
    policy = {"rules": [{"succeededIndexes": "0,3"}, {"succeededIndexes": "1-2", "succeededCount": 1}]}
    await started(cluster, completionMode="Indexed", parallelism=4, completions=4, successPolicy=policy)
    bind(cluster)

    await end(cluster, at(cluster, 2))
    assert stored(cluster).finished is None
    await reaped(cluster)

    assert ended(cluster) == ("Complete", "SuccessPolicy", "Matched rules at index 1")
    assert tally(cluster)[:2] == (0, 1)
    assert active(cluster) == []


@pytest.mark.parametrize(
    ("policy", "replaced"),
    [pytest.param("Failed", 0, id="when-it-has-ended"), pytest.param("TerminatingOrFailed", 1, id="at-once")],
)
async def test_a_deleted_pod_is_replaced(cluster: FakeCluster, policy: str, replaced: int) -> None:
    await started(cluster, podReplacementPolicy=policy)
    bind(cluster)
    (pod,) = active(cluster)

    await cluster.client().delete(Pod, pod.metadata.name, "default")
    await cluster.advance(13)
    assert len(active(cluster)) == replaced
    await reaped(cluster)
    await cluster.advance(15)

    assert tally(cluster) == (1, 0, 1)


async def test_the_pods_of_a_deleted_job_are_let_go(cluster: FakeCluster) -> None:
    await started(cluster, parallelism=2, completions=2)

    cluster.delete(Job, KEY)
    await cluster.advance(2)

    assert held(cluster) == []


async def test_orphans_are_let_go(cluster: FakeCluster) -> None:
    pod = make_pod("left", labels={"job": "other"})
    pod["metadata"]["finalizers"] = [TRACKING]
    cluster.load(pod)
    run(cluster)

    await cluster.settle()

    assert held(cluster) == []


async def test_matching_orphans_are_adopted_and_counted(cluster: FakeCluster) -> None:
    cluster.load(make_pod("mine", labels={"job": "work"}))
    await started(cluster)
    (pod,) = cluster.list(Pod)
    assert TRACKING in pod.metadata.finalizers

    await end(cluster, pod)

    assert ended(cluster)[0] == "Complete"


async def test_a_refused_creation_is_told_and_tried_again(cluster: FakeCluster) -> None:
    cluster.faults.fail_next(plural="pods", times=2)
    await started(cluster)
    await cluster.advance(10)

    assert len(active(cluster)) == 1
    assert cluster.events()[0].reason == "FailedCreate"


async def test_a_stale_cache_of_pods_counts_nobody_twice(cluster: FakeCluster) -> None:
    cluster.load(make_job(completions=9))
    first = JobController(cluster.context())
    await first.reconcile(KEY)
    await cluster.settle()
    (pod,) = active(cluster)
    await fail(cluster, pod)
    cluster.hold_watches()
    await first.reconcile(KEY)
    assert tally(cluster) == (0, 0, 1)
    stale = await lagging(cluster, pod.key)

    await stale.reconcile(KEY)

    assert tally(cluster)[1:] == (0, 1)


async def lagging(cluster: FakeCluster, key: Key) -> JobController:
    """A second controller, whose cache has the newest Job, but holds the Pod still that was just counted."""
    context = cluster.context("lagging")
    controller = JobController(context)
    context.informer(Job).replace(await cluster.client().list(Job))
    cached = context.informer(Pod).get(key)
    assert cached is not None
    assert TRACKING in cached.metadata.finalizers
    return controller
