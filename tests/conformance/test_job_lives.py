"""Jobs in the suite's tests beyond conformance: suspended, replaced late, run by others, out of time."""

from __future__ import annotations

from typing import Any

from .api import MERGE, Api, condition
from .test_jobs import end, finished, index, job, pods_of, why

PATH = "jobs/work"


async def test_a_job_that_is_suspended_ends_its_pods_and_starts_anew(api: Api, core: str, batch: str) -> None:
    path = f"{batch}/{PATH}"
    await api.make(f"{batch}/jobs", job(waits=True))
    await pods_of(api, core, 2)
    started = (await api.until(path, lambda found: found["status"].get("active") == 2))["status"]["startTime"]

    await api.patch(path, {"spec": {"suspend": True}}, MERGE)
    rests = await api.until(path, lambda found: condition(found, "Suspended") == "True")
    assert why(rests, "Suspended") == "JobSuspended"
    await api.until_listed(f"{core}/pods", lambda pods: not pods)
    rests = await api.until(path, lambda found: "startTime" not in found["status"])
    assert rests["status"].get("active", 0) == 0
    # Until it goes on, it may be sent elsewhere, and its containers may ask for something else.
    resources = {"requests": {"cpu": "20m"}}
    containers = [{"name": "app", "image": "web:1", "resources": resources}]
    pod = {"spec": {"nodeSelector": {"no": "other"}, "containers": containers}}
    await api.patch(path, {"spec": {"template": pod}})

    await api.patch(path, {"spec": {"suspend": False}}, MERGE)
    goes_on = await api.until(path, lambda found: condition(found, "Suspended") == "False")
    assert why(goes_on, "Suspended") == "JobResumed"
    assert goes_on["status"]["startTime"] >= started
    for found in await pods_of(api, core, 2):
        assert found["spec"]["nodeSelector"] == {"no": "other"}
        assert found["spec"]["containers"][0]["resources"] == resources
    told = await api.items(f"{core}/events", fieldSelector="involvedObject.kind=Job")
    assert {"Suspended", "Resumed"} <= {event["reason"] for event in told}


async def test_pods_are_replaced_when_they_have_failed_where_the_policy_says_so(
    api: Api, core: str, batch: str
) -> None:
    held = {"finalizers": ["conformance.example.com/held"]}
    made = job(waits=True, parallelism=1, completions=1, podReplacementPolicy="Failed")
    made["spec"]["template"]["metadata"] = held
    await api.make(f"{batch}/jobs", made)
    (first,) = await pods_of(api, core, 1)

    await api.delete(f"{core}/pods/{first['metadata']['name']}")
    found = await api.until(f"{batch}/{PATH}", lambda found: found["status"].get("terminating") == 1)
    assert (found["status"].get("active", 0), found["status"].get("failed", 0)) == (0, 0)
    assert len(await api.items(f"{core}/pods")) == 1

    await end(api, core, first, 1)
    await api.until(f"{batch}/{PATH}", lambda found: found["status"].get("failed") == 1)
    await api.until_listed(f"{core}/pods", lambda pods: len(pods) == 2)
    for pod in await api.items(f"{core}/pods"):
        path = f"{core}/pods/{pod['metadata']['name']}"
        await api.patch(path, {"metadata": {"finalizers": None}}, MERGE)


async def test_a_job_that_another_controller_runs_is_left_to_it(api: Api, core: str, batch: str) -> None:
    path = f"{batch}/{PATH}"
    await api.make(f"{batch}/jobs", job(managedBy="example.com/custom"))
    mine = job()
    mine["metadata"]["name"] = "other"
    await api.make(f"{batch}/jobs", mine)
    await api.until(f"{batch}/jobs/other", lambda found: found.get("status", {}).get("startTime"))
    assert (await api.get(path)).get("status", {}) == {}

    ready = {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"startTime": "2026-01-01T00:00:00Z", "conditions": [ready]}
    await api.patch(f"{path}/status", {"status": status}, MERGE)
    assert (await api.get(path))["status"]["conditions"] == [ready]
    assert not await api.items(f"{core}/pods", labelSelector="batch.kubernetes.io/job-name=work")


async def test_a_job_out_of_time_fails_and_one_with_time_does_not(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(waits=True, activeDeadlineSeconds=1))

    failed = await api.until(f"{batch}/{PATH}", finished)

    assert why(failed, "Failed") == why(failed, "FailureTarget") == "DeadlineExceeded"
    assert [each["type"] for each in failed["status"]["conditions"]] == ["FailureTarget", "Failed"]
    (told,) = await api.until_listed(
        f"{core}/events", bool, fieldSelector="involvedObject.name=work,reason=DeadlineExceeded"
    )
    assert (told["type"], told["message"]) == ("Warning", "Job was active longer than specified deadline")


async def test_failures_beyond_the_limit_end_the_job(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(waits=True, parallelism=1, completions=1, backoffLimit=0))
    (pod,) = await pods_of(api, core, 1)

    await end(api, core, pod, 1)

    failed = await api.until(f"{batch}/{PATH}", finished)
    assert why(failed, "Failed") == "BackoffLimitExceeded"
    status = failed["status"]
    assert (status["failed"], status["ready"], status["terminating"]) == (1, 0, 0)
    assert status["uncountedTerminatedPods"] == {}


async def test_the_next_pod_of_an_index_says_how_often_it_has_failed(api: Api, core: str, batch: str) -> None:
    limits = {"completionMode": "Indexed", "backoffLimitPerIndex": 2}
    await api.make(f"{batch}/jobs", job(waits=True, parallelism=2, completions=2, **limits))
    pods = await pods_of(api, core, 2)
    assert {_failures(pod) for pod in pods} == {"0"}

    await end(api, core, next(pod for pod in pods if index(pod) == 1), 1)

    after = await pods_of(api, core, 2)
    assert {index(pod): _failures(pod) for pod in after} == {0: "0", 1: "1"}


def _failures(pod: Any) -> str:
    counted: str = pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"]
    return counted


async def test_an_indexed_job_is_made_larger_and_smaller(api: Api, core: str, batch: str) -> None:
    path = f"{batch}/{PATH}"
    await api.make(f"{batch}/jobs", job(waits=True, completionMode="Indexed", parallelism=2, completions=2))
    await pods_of(api, core, 2)

    await api.patch(path, {"spec": {"parallelism": 4, "completions": 4}}, MERGE)
    pods = await pods_of(api, core, 4)
    assert sorted(map(index, pods)) == [0, 1, 2, 3]
    await end(api, core, next(pod for pod in pods if index(pod) == 3), 0)
    await api.until(path, lambda found: found["status"].get("completedIndexes") == "3")

    await api.patch(path, {"spec": {"parallelism": 1, "completions": 1}}, MERGE)
    (last,) = await pods_of(api, core, 1)
    assert index(last) == 0
    await end(api, core, last, 0)
    done = await api.until(path, finished)
    assert (done["status"]["succeeded"], done["status"]["completedIndexes"]) == (1, "0")


async def test_a_suspended_job_of_nothing_is_complete(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(suspend=True, parallelism=1, completions=0))

    done = await api.until(f"{batch}/{PATH}", finished)

    assert why(done, "Complete") == "CompletionsReached"
    assert "startTime" not in done["status"]
