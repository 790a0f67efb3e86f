"""Jobs and CronJobs over HTTP: what may be asked for, what may change, what a status may become."""

from __future__ import annotations

from typing import Any

from ..conftest import Api
from .rules import DUPLICATE, INVALID, REQUIRED, UNSUPPORTED, merged, one, refused_creations, refused_updates

JOBS = "/apis/batch/v1/namespaces/default/jobs"
CRONJOBS = "/apis/batch/v1/namespaces/default/cronjobs"
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "web:1"}]}}
JOB: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {"template": TEMPLATE}}
INDEXED = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}
INDEXED_JOB = merged(JOB, {"spec": INDEXED})
CRONJOB: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": TEMPLATE}}},
}
THEN, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


async def test_jobs_are_refused_for_what_they_ask(api: Api) -> None:
    labels = "spec.template.metadata.labels"
    wrong = await api("POST", JOBS, merged(JOB, {"spec": {"template": {"metadata": {"labels":
        {"job-name": "other"}}}}}))  # fmt: skip
    found = await refused_creations(
        api,
        JOBS,
        JOB,
        {
            "manager": spec(managedBy="acme"),
            "path": spec(managedBy="acme.io/a b"),
            "restart": spec(template=merged(TEMPLATE, spec(restartPolicy="Always"))),
            "odd restart": spec(template=merged(TEMPLATE, spec(restartPolicy="Sometimes"))),
            "not indexed": spec(maxFailedIndexes=1, backoffLimitPerIndex=1),
            "long name": {"metadata": {"name": "a" * 62}, "spec": INDEXED},
            "wide": spec(**INDEXED | {"parallelism": 100_001}),
            "many": spec(**INDEXED | {"completions": 100_001, "parallelism": 10_001,
                "backoffLimitPerIndex": 1}),
            "success": spec(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0-1,1",
                "succeededCount": 5}]}),
            "success count": spec(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0-1",
                "succeededCount": 3}]}),
            "pattern": spec(podFailurePolicy={"rules": [{"action": "Ignore", "onPodConditions":
                [{"type": "a b", "status": "Maybe"}]}]}),
            "both": spec(podFailurePolicy={"rules": [{"action": "", "onPodConditions": [{"type": "A"}],
                "onExitCodes": {"operator": "", "values": [1]}}]}),
            "replacement": spec(podReplacementPolicy="Never"),
        },
    )  # fmt: skip

    causes = {cause["field"]: cause["message"] for cause in wrong.body["details"]["causes"]}
    assert causes[f"{labels}[job-name]"].endswith(": must be 'one'")
    assert [cause[:2] for cause in found.pop("pattern")] == [
        ("spec.podFailurePolicy.rules[0].onPodConditions[0].type", INVALID),
        ("spec.podFailurePolicy.rules[0].onPodConditions[0].status", UNSUPPORTED),
    ]
    path = found.pop("path")
    assert path[0][2].startswith('Invalid value: "a b": Invalid path (regex used for validation is \'')
    restart = "spec.template.spec.restartPolicy"
    failed, most = "spec.maxFailedIndexes", "must be less than or equal to"
    above = "completions are above 100000 and used with backoff limit per index"
    assert found == {
        "manager": one("spec.managedBy", INVALID,
            'Invalid value: "acme": must be a domain-prefixed path (such as "acme.io/foo")'),
        "restart": one(restart, REQUIRED, 'Required value: valid values: "OnFailure", "Never"'),
        "odd restart": [
            (restart, UNSUPPORTED,
             'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'),
            (restart, UNSUPPORTED, 'Unsupported value: "Sometimes": supported values: "OnFailure", "Never"'),
        ],
        "not indexed": [
            ("spec.backoffLimitPerIndex", INVALID, "Invalid value: 1: requires indexed completion mode"),
            (failed, INVALID, "Invalid value: 1: requires indexed completion mode"),
        ],
        "long name": one("metadata.name", INVALID, f'Invalid value: "{"a" * 62}": will not able to create'
            f" pod with invalid DNS label: {'a' * 62}-3"),
        "wide": one("spec.parallelism", INVALID,
            f"Invalid value: 100001: {most} 100000 when completion mode is Indexed"),
        "many": [
            (failed, REQUIRED, "Required value: must be specified when completions is above 100000"),
            ("spec.parallelism", INVALID, f"Invalid value: 10001: {most} 10000 when {above}"),
        ],
        "success": [
            ("spec.successPolicy.rules[0].succeededIndexes", INVALID, 'Invalid value: "0-1,1": error parsing'
             " succeededIndexes: non-increasing order, previous: 1, current: 1"),
            ("spec.successPolicy.rules[0].succeededCount", INVALID,
             f"Invalid value: 5: {most} 4 (the number of specified completions)"),
            ("spec.successPolicy.rules[0].succeededCount", INVALID, f"Invalid value: 5: {most} 0 (the number"
             " of indexes in the specified succeededIndexes field)"),
        ],
        "success count": one("spec.successPolicy.rules[0].succeededCount", INVALID, f"Invalid value: 3:"
            f" {most} 2 (the number of indexes in the specified succeededIndexes field)"),
        "both": [
            ("spec.podFailurePolicy.rules[0].action", REQUIRED,
             'Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'),
            ("spec.podFailurePolicy.rules[0].onExitCodes.operator", REQUIRED,
             'Required value: valid values: ["In" "NotIn"]'),
            ("spec.podFailurePolicy.rules[0]", INVALID,
             "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"),
        ],
        "replacement": one("spec.podReplacementPolicy", UNSUPPORTED,
            'Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"'),
    }  # fmt: skip


async def test_what_may_change_of_a_job(api: Api) -> None:
    container = TEMPLATE["spec"]["containers"][0]  # type: ignore[index]
    richer = [container | {"resources": {"requests": {"cpu": "1"}}}]
    changes = {
        "completions": spec(completions=2),
        "manager": spec(managedBy="acme.io/foo"),
        "suspend": spec(suspend=True),
        "width": spec(parallelism=3),
        "selector": spec(template={"spec": {"nodeSelector": {"a": "b"}}}),
        "policy": spec(podFailurePolicy={"rules": [{"action": "Ignore", "onPodConditions":
            [{"type": "A"}]}]}),
    }  # fmt: skip
    found = await refused_updates(api, JOBS, JOB, changes)
    found.pop("policy")
    suspended = merged(JOB, {"metadata": {"name": "two"}, "spec": {"suspend": True}})
    rested = await refused_updates(
        api,
        JOBS,
        suspended,
        {
            "selector": spec(template={"spec": {"nodeSelector": {"a": "b"}}}),
            "resources": spec(template={"spec": {"containers": richer}}),
            "image": spec(template={"spec": {"containers": [container | {"image": "web:2"}]}}),
            "node affinity": spec(template={"spec": {"affinity": {"nodeAffinity": {}}}}),
            "pod affinity": spec(template={"spec": {"affinity": {"podAffinity": {}}}}),
        },
    )
    resized = await refused_updates(
        api,
        JOBS,
        merged(INDEXED_JOB, {"metadata": {"name": "three"}}),
        {"alone": spec(completions=5), "together": spec(completions=5, parallelism=5)},
    )

    assert {name: [cause[0] for cause in causes] for name, causes in found.items()} == {
        "completions": ["spec.completions"], "manager": ["spec.managedBy"], "suspend": [], "width": [],
        "selector": ["spec.template"],
    }  # fmt: skip
    assert {name: [cause[0] for cause in causes] for name, causes in rested.items()} == {
        "selector": [], "resources": [], "image": ["spec.template"], "node affinity": [],
        "pod affinity": ["spec.template"],
    }  # fmt: skip
    assert resized == {
        "alone": one("spec.completions", INVALID,
            "Invalid value: 5: can only be modified in tandem with spec.parallelism"),
        "together": [],
    }  # fmt: skip


def status(*conditions: str, **fields: Any) -> dict[str, Any]:
    listed = [{"type": name, "status": "True", "lastTransitionTime": THEN} for name in conditions]
    return {"status": fields | ({"conditions": listed} if conditions else {})}


async def test_a_job_of_nothing_may_end_while_it_is_suspended(api: Api) -> None:
    nothing = merged(JOB, spec(suspend=True, completions=0))
    over = status("SuccessCriteriaMet", "Complete", completionTime=THEN)

    assert await refused_updates(api, JOBS, nothing, {"over": over}, subresource="status") == {"over": []}


async def test_what_the_status_of_a_job_may_become(api: Api) -> None:
    done = {"startTime": THEN, "completionTime": LATER}
    changes = {
        "done": status("SuccessCriteriaMet", "Complete", **done, succeeded=4),
        "no end": status("Complete", startTime=THEN),
        "no start": status("Complete", completionTime=LATER),
        "end alone": status(startTime=THEN, completionTime=LATER),
        "backwards": status("Complete", startTime=LATER, completionTime=THEN),
        "both": status("Complete", "Failed", **done),
        "target": status("Complete", "FailureTarget", **done),
        "criteria": status("SuccessCriteriaMet", "Failed", startTime=THEN),
        "active": status("Failed", startTime=THEN, active=1),
        "uncounted": status("Failed", startTime=THEN, uncountedTerminatedPods={"failed": ["a", "a", ""]}),
        "indexes": status(completedIndexes="0-7"),
        "order": status(completedIndexes="2,1"),
        "failed": status(completedIndexes="1", failedIndexes="0-2"),
        "negative": status(ready=-1),
    }

    found = await refused_updates(api, JOBS, INDEXED_JOB, changes, subresource="status")

    conditions = "status.conditions"
    uncounted = found.pop("uncounted")
    assert [cause[:2] for cause in uncounted] == [
        ("status.uncountedTerminatedPods.failed[1]", DUPLICATE),
        ("status.uncountedTerminatedPods.failed[2]", INVALID),
        ("status.uncountedTerminatedPods", INVALID),
    ]
    assert found == {
        "done": [],
        "no end": one("status.completionTime", REQUIRED,
            "Required value: completionTime is required for Complete jobs"),
        "no start": one("status.startTime", REQUIRED,
            "Required value: startTime is required for finished job"),
        "end alone": one("status.completionTime", INVALID, f'Invalid value: "{LATER}": cannot set'
            " completionTime when there is no Complete=True condition"),
        "backwards": one("status.completionTime", INVALID,
            f'Invalid value: "{THEN}": completionTime cannot be set before startTime'),
        "both": one(conditions, INVALID,
            "Invalid value: cannot set Complete=True and Failed=true conditions"),
        "target": one(conditions, INVALID,
            "Invalid value: cannot set Complete=True and FailureTarget=true conditions"),
        "criteria": one(conditions, INVALID,
            "Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        "active": one("status.active", INVALID, "Invalid value: 1: active>0 is invalid for finished job"),
        "indexes": one("status.completedIndexes", INVALID,
            'Invalid value: "0-7": error parsing completedIndexes: too large index: "7"'),
        "order": one("status.completedIndexes", INVALID, 'Invalid value: "2,1": error parsing'
            " completedIndexes: non-increasing order, previous: 2, current: 1"),
        "failed": [
            ("status.failedIndexes", INVALID, 'Invalid value: "0-2": cannot set non-null failedIndexes when'
             " backoffLimitPerIndex is null"),
            ("status.failedIndexes", INVALID,
             'Invalid value: "0-2": failedIndexes and completedIndexes overlap at index: 1'),
        ],
        "negative": one("status.ready", INVALID,
            "Invalid value: -1: must be greater than or equal to 0"),
    }  # fmt: skip


async def test_a_job_that_is_over_stays_over(api: Api) -> None:
    made = await api.make(JOBS, JOB)
    place = f"{JOBS}/one/status"
    over = status("Complete", startTime=THEN, completionTime=LATER, succeeded=1, failed=1)
    assert (await api("PUT", place, made | over)).code == 200
    other = status(
        "Complete", startTime=LATER, completionTime=LATER.replace("01:", "02:"), succeeded=1, failed=1
    )

    async def refused(change: dict[str, Any]) -> list[str]:
        answer = await api("PUT", place, {name: made[name] for name in ("metadata", "spec")} | change)
        return [cause["message"] for cause in answer.body["details"]["causes"]]

    made["metadata"].pop("resourceVersion")
    assert await refused(status(startTime=THEN, completionTime=LATER)) == [
        f'Invalid value: "{LATER}": cannot set completionTime when there is no Complete=True condition',
        "Invalid value: cannot disable the terminal Complete=True condition",
        "Invalid value: 0: cannot decrease the failed counter",
        "Invalid value: 0: cannot decrease the succeeded counter",
    ]
    assert await refused(other) == [
        f'Invalid value: "{other["status"]["completionTime"]}": completionTime cannot be mutated',
        "Required value: startTime cannot be removed for unsuspended job",
    ]
    met = merged(over, status("Complete", "SuccessCriteriaMet"))
    assert await refused(met) == [
        "Invalid value: cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
    ]


async def test_cronjobs_are_refused_for_their_times(api: Api) -> None:
    schedule, zone = "spec.schedule", "spec.timeZone"
    changes = {
        "none": spec(schedule=""),
        "zone in schedule": spec(schedule="TZ=UTC 0 0 * * *"),
        "bad": spec(schedule="every day"),
        "zone": spec(timeZone="Mars/Base"),
        "local": spec(timeZone="local"),
        "dots": spec(timeZone="../etc/passwd"),
        "empty": spec(timeZone=""),
        "policy": spec(concurrencyPolicy="Queue"),
        "selector": spec(jobTemplate={"spec": {"selector": {}, "manualSelector": True}}),
        "deadline": spec(startingDeadlineSeconds=-1, failedJobsHistoryLimit=-1),
    }

    found = await refused_creations(api, CRONJOBS, CRONJOB, changes)

    assert found.pop("local")[0] == (
        zone, INVALID, 'Invalid value: "local": timeZone must be an explicit time zone as defined in'
        " https://www.iana.org/time-zones",
    )  # fmt: skip
    negative = "Invalid value: -1: must be greater than or equal to 0"
    assert found == {
        "none": one(schedule, REQUIRED, "Required value"),
        "zone in schedule": one(schedule, INVALID, 'Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or'
            " CRON_TZ in schedule, use timeZone field instead"),
        "bad": one(schedule, INVALID,
            'Invalid value: "every day": expected exactly 5 fields, found 2: [every day]'),
        "zone": one(zone, INVALID, 'Invalid value: "Mars/Base": unknown time zone Mars/Base'),
        "dots": one(zone, INVALID, 'Invalid value: "../etc/passwd": unknown time zone ../etc/passwd'),
        "empty": one(zone, INVALID, 'Invalid value: "": timeZone must be nil or non-empty string'),
        "policy": one("spec.concurrencyPolicy", UNSUPPORTED,
            'Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"'),
        "selector": [
            ("spec.jobTemplate.spec.selector", INVALID,
             "Invalid value: {}: `selector` will be auto-generated"),
            ("spec.jobTemplate.spec.manualSelector", UNSUPPORTED,
             'Unsupported value: true: supported values: "nil", "false"'),
        ],
        "deadline": [
            ("spec.startingDeadlineSeconds", INVALID, negative),
            ("spec.failedJobsHistoryLimit", INVALID, negative),
        ],
    }  # fmt: skip


async def test_jobs_warn_of_names_and_of_too_many_indexes(api: Api) -> None:
    named = await api("POST", JOBS, merged(JOB, {"metadata": {"name": "a.b"}}))
    wide = merged(INDEXED_JOB, spec(completions=100_001, parallelism=10_001))
    crowd = await api("POST", JOBS, wide)
    cron = await api("POST", CRONJOBS, merged(CRONJOB, {"metadata": {"name": "a.b"}}))

    text = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior"
    assert text in named.headers["warning"]
    assert text in cron.headers["warning"]
    assert "spec: In Indexed Jobs with a number of completions higher than 10^5" in crowd.headers["warning"]
