"""Jobs: which Pods are theirs, when they are done, and why they fail.

Where an exit code matters the test ends Pods itself: they wait for a node that is not there.
"""

from __future__ import annotations

from typing import Any

from .api import MERGE, Api, condition, template

INDEX = "batch.kubernetes.io/job-completion-index"
NOWHERE = {"no": "node"}
LONG_AGO = "2020-01-01T00:00:00Z"


def job(name: str = "work", *, waits: bool = False, pod: Any = None, **spec: Any) -> dict[str, Any]:
    """A Job. `waits`: its Pods find no node, so that they end when the test says so."""
    more = {"restartPolicy": "Never", **(pod or {})} | ({"nodeSelector": NOWHERE} if waits else {})
    made = {"parallelism": 2, "completions": 4, "template": template({}, **more), **spec}
    return {"metadata": {"name": name}, "spec": made}


def why(found: Any, type: str) -> str:
    listed = found.get("status", {}).get("conditions", ())
    return next((each.get("reason", "") for each in listed if each["type"] == type), "")


def finished(found: Any) -> bool:
    return "True" in (condition(found, "Complete"), condition(found, "Failed"))


async def pods_of(api: Api, core: str, count: int) -> list[Any]:
    """The Pods of the Job that have not ended, as soon as there are so many."""

    def active(pods: list[Any]) -> list[Any]:
        return [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]

    query = {"labelSelector": "batch.kubernetes.io/job-name=work"}
    return active(await api.until_listed(f"{core}/pods", lambda pods: len(active(pods)) == count, **query))


async def end(api: Api, core: str, pod: Any, code: int) -> None:
    """Say of a Pod, as its node would, that its container has ended with this code."""
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": LONG_AGO}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [
            {
                "name": "app",
                "image": "web:1",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": ended},
            }
        ],
    }
    await api.patch(f"{core}/pods/{pod['metadata']['name']}/status", {"status": status})


def index(pod: Any) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


async def test_orphans_are_adopted_and_pods_without_its_labels_released(
    api: Api, core: str, batch: str
) -> None:
    made = await api.make(f"{batch}/jobs", job(waits=True))
    pod, _ = await pods_of(api, core, 2)
    path = f"{core}/pods/{pod['metadata']['name']}"

    await api.change(path, lambda found: found["metadata"].pop("ownerReferences"))
    adopted = await api.until(path, lambda found: found["metadata"].get("ownerReferences"))
    (owner,) = adopted["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "work", made["metadata"]["uid"])
    await api.change(path, lambda found: found["metadata"].pop("labels"))
    await api.until(path, lambda found: not found["metadata"].get("ownerReferences"))


async def test_a_job_is_done_when_its_pods_are(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(pod={"restartPolicy": "OnFailure"}))

    done = await api.until(f"{batch}/jobs/work", finished)

    assert (why(done, "SuccessCriteriaMet"), why(done, "Complete")) == (
        "CompletionsReached",
        "CompletionsReached",
    )
    assert done["status"]["succeeded"] == 4
    assert done["status"]["completionTime"]


async def test_indexed_pods_have_numbers_and_hostnames(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(completionMode="Indexed"))
    done = await api.until(f"{batch}/jobs/work", finished)

    pods = await api.items(f"{core}/pods")
    assert sorted(index(pod) for pod in pods if pod["status"]["phase"] == "Succeeded") == [0, 1, 2, 3]
    assert {(pod["spec"]["hostname"], pod["metadata"]["labels"][INDEX]) for pod in pods} == {
        (f"work-{number}", str(number)) for number in range(4)
    }
    assert done["status"]["completedIndexes"] == "0-3"


async def test_an_evicted_pod_does_not_count_when_the_policy_ignores_disruption(
    api: Api, core: str, batch: str
) -> None:
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    policy = {"backoffLimit": 0, "podFailurePolicy": {"rules": [ignore]}}
    await api.make(f"{batch}/jobs", job(waits=True, parallelism=1, completions=1, **policy))
    (pod,) = await pods_of(api, core, 1)
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    answer = await api("POST", f"{core}/pods/{name}/eviction", eviction)
    assert answer.code == 201
    await end(api, core, pod, 137)

    await api.until_gone(f"{core}/pods/{name}")
    (again,) = await pods_of(api, core, 1)
    assert again["metadata"]["name"] != name
    await end(api, core, again, 0)
    done = await api.until(f"{batch}/jobs/work", finished)
    assert condition(done, "Complete") == "True"


async def test_an_exit_code_may_fail_the_job_at_once(api: Api, core: str, batch: str) -> None:
    fail = {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "In", "values": [1]}}
    await api.make(f"{batch}/jobs", job(waits=True, podFailurePolicy={"rules": [fail]}))
    pod, _ = await pods_of(api, core, 2)

    await end(api, core, pod, 1)

    failed = await api.until(f"{batch}/jobs/work", finished)
    assert (why(failed, "FailureTarget"), why(failed, "Failed")) == ("PodFailurePolicy", "PodFailurePolicy")


async def test_indexes_fail_on_their_own(api: Api, core: str, batch: str) -> None:
    made = job(waits=True, parallelism=4, completionMode="Indexed", backoffLimitPerIndex=1)
    await api.make(f"{batch}/jobs", made)
    for pod in await pods_of(api, core, 4):
        await end(api, core, pod, index(pod) % 2)
    for pod in await pods_of(api, core, 2):
        assert pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
        await end(api, core, pod, 1)

    done = await api.until(f"{batch}/jobs/work", finished)
    assert (why(done, "FailureTarget"), why(done, "Failed")) == ("FailedIndexes", "FailedIndexes")
    status = done["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 4)


async def test_too_many_failed_indexes_end_the_job(api: Api, core: str, batch: str) -> None:
    made = job(
        waits=True, parallelism=4, completionMode="Indexed", backoffLimitPerIndex=0, maxFailedIndexes=0
    )
    await api.make(f"{batch}/jobs", made)
    await end(api, core, (await pods_of(api, core, 4))[0], 1)

    done = await api.until(f"{batch}/jobs/work", finished)
    assert why(done, "FailureTarget") == "MaxFailedIndexesExceeded"
    assert why(done, "Failed") == "MaxFailedIndexesExceeded"
    assert "completedIndexes" not in done["status"] or done["status"]["completedIndexes"] == ""


async def test_the_policy_may_fail_one_index(api: Api, core: str, batch: str) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}
    made = job(
        waits=True, parallelism=2, completions=2, completionMode="Indexed", backoffLimitPerIndex=1,
        podFailurePolicy={"rules": [rule]},
    )  # fmt: skip
    await api.make(f"{batch}/jobs", made)
    for pod in await pods_of(api, core, 2):
        await end(api, core, pod, 1 - index(pod))

    done = await api.until(f"{batch}/jobs/work", finished)
    assert why(done, "Failed") == "FailedIndexes"
    status = done["status"]
    assert (status["failedIndexes"], status["completedIndexes"], status["failed"]) == ("0", "1", 1)


async def succeeded_early(api: Api, core: str, batch: str, rules: Any, ends: list[int]) -> Any:
    """The Job, when those of its Pods that have these indexes have succeeded."""
    made = job(
        waits=True, parallelism=4, completions=4, completionMode="Indexed", successPolicy={"rules": rules}
    )
    await api.make(f"{batch}/jobs", made)
    for pod in await pods_of(api, core, 4):
        if index(pod) in ends:
            await end(api, core, pod, 0)
    done = await api.until(f"{batch}/jobs/work", finished)
    assert condition(done, "Complete") == "True"
    return done


async def test_success_policy_counts_indexes(api: Api, core: str, batch: str) -> None:
    done = await succeeded_early(api, core, batch, [{"succeededCount": 1}], [2])

    assert (why(done, "SuccessCriteriaMet"), why(done, "Complete")) == ("SuccessPolicy", "SuccessPolicy")
    assert done["status"]["completedIndexes"] == "2"
    assert done["status"].get("active", 0) == 0


async def test_success_policy_names_indexes(api: Api, core: str, batch: str) -> None:
    done = await succeeded_early(api, core, batch, [{"succeededIndexes": "1"}], [1])

    assert why(done, "Complete") == "SuccessPolicy"
    assert done["status"]["completedIndexes"] == "1"
    assert done["status"].get("terminating", 0) == 0


async def test_success_policy_is_met_when_all_indexes_are(api: Api, core: str, batch: str) -> None:
    done = await succeeded_early(api, core, batch, [{"succeededIndexes": "0-3"}], [0, 1, 2, 3])

    assert why(done, "SuccessCriteriaMet") == "SuccessPolicy"
    assert done["status"]["completedIndexes"] == "0-3"


async def test_status_is_patched_and_written(api: Api, core: str, batch: str) -> None:
    path = f"{batch}/jobs/work"
    await api.make(f"{batch}/jobs", job(waits=True))
    await pods_of(api, core, 2)
    custom = {"type": "CustomConditionType", "status": "True", "lastTransitionTime": LONG_AGO}

    patched = await api.patch(
        f"{path}/status",
        {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [custom]}},
        MERGE,
    )
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert condition(patched, "CustomConditionType") == "True"

    later = "2021-01-01T00:00:00Z"

    def change(found: Any) -> None:
        found["status"]["conditions"][0]["lastTransitionTime"] = later

    updated = await api.change(f"{path}/status", change)
    assert updated["status"]["conditions"][0]["lastTransitionTime"] == later
    assert (await api.get(f"{path}/status"))["metadata"]["uid"] == updated["metadata"]["uid"]


async def test_a_suspended_job_lives(api: Api, core: str, batch: str) -> None:
    labels = {"e2e-job-label": "work"}
    made = job(waits=True, suspend=True, backoffLimit=6)
    made["metadata"]["labels"] = labels
    path = f"{batch}/jobs/work"
    query = {"labelSelector": "e2e-job-label=work"}
    async with api.watch(f"{batch}/jobs", **query) as watch:
        await api.make(f"{batch}/jobs", made)
        await watch.until("MODIFIED", lambda found: condition(found, "Suspended") == "True")
        await api.patch(path, {"metadata": {"labels": {"work": "patched"}}, "spec": {"suspend": False}})
        await watch.until("MODIFIED", lambda found: found["metadata"]["labels"].get("work") == "patched")
        await watch.until("MODIFIED", lambda found: found["status"].get("active") == 2)
        await api.change(path, lambda found: found["metadata"].update(annotations={"updated": "true"}))
        await watch.until("MODIFIED", lambda found: found["metadata"].get("annotations"))

        assert await api.names("/apis/batch/v1/jobs", labelSelector="work=patched") == {"work"}
        await api.delete(f"{batch}/jobs", query, gracePeriodSeconds=0, propagationPolicy="Background")
        await watch.until("DELETED")
    await api.until_listed(f"{core}/pods", lambda pods: not pods)


async def test_deleting_a_job_deletes_its_pods_first_where_asked(api: Api, core: str, batch: str) -> None:
    await api.make(f"{batch}/jobs", job(waits=True))
    await pods_of(api, core, 2)

    await api.delete(f"{batch}/jobs/work", propagationPolicy="Foreground")

    await api.until_gone(f"{batch}/jobs/work")
    assert not await api.items(f"{core}/pods")


async def test_a_suspended_cronjob_has_no_jobs_and_its_api_is_whole(api: Api, core: str, batch: str) -> None:
    cron = {
        "metadata": {"name": "cron", "labels": {"special": "cron"}},
        "spec": {"schedule": "*/1 * * * *", "suspend": True, "jobTemplate": {"spec": job()["spec"]}},
    }
    crons, path = f"{batch}/cronjobs", f"{batch}/cronjobs/cron"
    group = await api.get("/apis/batch/v1")
    assert {"cronjobs", "cronjobs/status"} <= {each["name"] for each in group["resources"]}
    async with api.watch(crons, labelSelector="special=cron") as watch:
        await api.make(crons, cron)
        await watch.until("ADDED")
        assert await api.names("/apis/batch/v1/cronjobs", labelSelector="special=cron") == {"cron"}
        patched = await api.patch(path, {"metadata": {"annotations": {"patched": "true"}}}, MERGE)
        assert patched["metadata"]["annotations"]["patched"] == "true"
        await api.change(path, lambda found: found["metadata"]["annotations"].update(updated="true"))
        await watch.until("MODIFIED", lambda found: found["metadata"]["annotations"].get("updated"))

        status = {"lastScheduleTime": LONG_AGO}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
        done = await api.patch(f"{path}/status", patch, MERGE)
        assert done["status"] == status
        assert done["metadata"]["annotations"]["patchedstatus"] == "true"
        later = {"lastScheduleTime": "2021-01-01T00:00:00Z"}
        await api.change(f"{path}/status", lambda found: found["status"].update(later))
        assert (await api.get(f"{path}/status"))["status"] == later

        await api.delete(path)
        await watch.until("DELETED")
    assert not await api.items(f"{batch}/jobs")
    await api.make(crons, cron)
    await api.delete(crons, {"labelSelector": "special=cron"})
    assert not await api.items(crons)
