"""Kinds that make pods from a template: defaults, validation, what may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kplane.apiserver.registry.strategies import STRATEGIES

SELECTOR = {"matchLabels": {"app": "web"}}
SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("apps", "deployments"): {"selector": SELECTOR},
    ("apps", "replicasets"): {"selector": SELECTOR},
    ("apps", "statefulsets"): {"selector": SELECTOR, "serviceName": "web"},
    ("apps", "daemonsets"): {"selector": SELECTOR},
    ("", "replicationcontrollers"): {},
}
WORKLOADS = pytest.mark.parametrize(("group", "plural"), SPECS)


def template(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "web:1"}], **spec},
    }


def make(group: str, plural: str, **spec: Any) -> dict[str, Any]:
    base = copy.deepcopy(SPECS.get((group, plural), {}))
    return {"metadata": {"name": "x"}, "spec": {"template": template(), **base, **spec}}


@WORKLOADS
def test_a_plain_workload_has_no_faults(judge: Any, group: str, plural: str) -> None:
    kind = judge(group, plural)
    stored = kind.created(make(group, plural))

    assert kind.faults(make(group, plural)) == []
    assert kind.update_faults(stored, stored) == []


@WORKLOADS
def test_the_template_gets_the_defaults_of_pod_specs(judge: Any, group: str, plural: str) -> None:
    spec = judge(group, plural).created(make(group, plural))["spec"]["template"]["spec"]

    assert spec["restartPolicy"] == "Always"
    assert spec["terminationGracePeriodSeconds"] == 30
    # These belong to Pods, not to templates.
    assert "enableServiceLinks" not in spec


@pytest.mark.parametrize(
    ("group", "plural", "wanted"),
    [
        (
            "apps",
            "deployments",
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
                },
            },
        ),
        ("apps", "replicasets", {"replicas": 1}),
        (
            "apps",
            "statefulsets",
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"partition": 0, "maxUnavailable": 1},
                },
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
        ),
        (
            "apps",
            "daemonsets",
            {
                "revisionHistoryLimit": 10,
                "updateStrategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                },
            },
        ),
        ("", "replicationcontrollers", {"replicas": 1, "selector": {"app": "web"}}),
        (
            "batch",
            "jobs",
            {
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-1"}},
            },
        ),
    ],
)
def test_defaults(judge: Any, group: str, plural: str, wanted: dict[str, Any]) -> None:
    spec = judge(group, plural).created(make(group, plural))["spec"]

    assert {name: spec[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("group", "plural", "status"),
    [
        ("apps", "deployments", {}),
        ("apps", "replicasets", {"replicas": 0}),
        ("apps", "statefulsets", {"replicas": 0, "availableReplicas": 0}),
        ("", "replicationcontrollers", {"replicas": 0}),
    ],
)
def test_a_client_cannot_create_a_status(judge: Any, group: str, plural: str, status: dict[str, Any]) -> None:
    created = judge(group, plural).created({**make(group, plural), "status": {"replicas": 7}})

    assert created["status"] == status


@WORKLOADS
def test_selector_and_template_must_agree(judge: Any, group: str, plural: str) -> None:
    selector = {"app": "db"} if plural == "replicationcontrollers" else {"matchLabels": {"app": "db"}}

    assert judge(group, plural).faults(make(group, plural, selector=selector)) == [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template'
        " `labels`"
    ]


@pytest.mark.parametrize("plural", ["deployments", "replicasets", "daemonsets"])
def test_selectors_are_immutable(judge: Any, plural: str) -> None:
    kind = judge("apps", plural)
    old = kind.created(make("apps", plural))
    new = copy.deepcopy(old)
    new["spec"]["selector"] = {"matchLabels": {"app": "db"}}
    new["spec"]["template"]["metadata"]["labels"] = {"app": "db"}

    assert kind.update_faults(new, old) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"db"}}: field is immutable'
    ]


@WORKLOADS
def test_pods_of_workloads_run_for_ever(judge: Any, group: str, plural: str) -> None:
    obj = make(group, plural, template=template(restartPolicy="Never"))

    assert judge(group, plural).faults(obj) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"


@pytest.mark.parametrize(
    ("group", "plural", "spec", "fault"),
    [
        ("apps", "deployments", {"replicas": -1}, f"spec.replicas: {NEGATIVE}"),
        ("apps", "deployments", {"selector": None}, "spec.selector: Required value"),
        (
            "apps",
            "deployments",
            {"selector": {}},
            "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            "apps",
            "statefulsets",
            {"selector": {}},
            "spec.selector: Invalid value: {}: empty selector is invalid for statefulset",
        ),
        (
            "apps",
            "deployments",
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is"
            " 'In' or 'NotIn'",
        ),
        (
            "apps",
            "deployments",
            {"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}},
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            "apps",
            "deployments",
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than'
            " 100%",
        ),
        (
            "apps",
            "deployments",
            {"strategy": {"rollingUpdate": {"maxSurge": "x"}}},
            'spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a'
            " numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is"
            " '[0-9]+%')",
        ),
        (
            "apps",
            "deployments",
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            "apps",
            "deployments",
            {"minReadySeconds": 600},
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
        (
            "apps",
            "deployments",
            {"template": template(activeDeadlineSeconds=5)},
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not"
            " Supported",
        ),
        ("apps", "replicasets", {"replicas": -1}, f"spec.replicas: {NEGATIVE}"),
        (
            "apps",
            "statefulsets",
            {"podManagementPolicy": "Odd"},
            "spec.podManagementPolicy: Invalid value: \"Odd\": must be 'OrderedReady' or 'Parallel'",
        ),
        (
            "apps",
            "statefulsets",
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}},
            "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy"
            " 'RollingUpdate'",
        ),
        (
            "apps",
            "daemonsets",
            {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}},
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable"
            " is non-zero",
        ),
        (
            "apps",
            "daemonsets",
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0 when maxSurge"
            " is 0",
        ),
        (
            "batch",
            "jobs",
            {},
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        ("batch", "jobs", {"parallelism": -1}, f"spec.parallelism: {NEGATIVE}"),
        (
            "batch",
            "jobs",
            {"completionMode": "Indexed", "parallelism": 1},
            "spec.completions: Required value: when completion mode is Indexed",
        ),
    ],
)
def test_faults_are_worded_as_upstream(
    judge: Any, group: str, plural: str, spec: dict[str, Any], fault: str
) -> None:
    assert fault in judge(group, plural).faults(make(group, plural, **spec))


def test_most_of_a_statefulset_may_not_change(judge: Any) -> None:
    kind = judge("apps", "statefulsets")
    old = kind.created(make("apps", "statefulsets"))
    scaled, renamed = copy.deepcopy(old), copy.deepcopy(old)
    scaled["spec"]["replicas"] = 5
    renamed["spec"]["serviceName"] = "other"

    assert kind.update_faults(scaled, old) == []
    assert kind.update_faults(renamed, old) == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals',"
        " 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and"
        " 'minReadySeconds' are forbidden"
    ]


def test_claims_of_a_statefulset_may_be_mounted(judge: Any) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    mounting = template()
    mounting["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    obj = make("apps", "statefulsets", volumeClaimTemplates=[claim], template=mounting)

    kind = judge("apps", "statefulsets")

    assert kind.faults(obj) == []
    assert kind.created(obj)["spec"]["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem"


def test_a_daemonset_counts_its_templates(judge: Any) -> None:
    key = "deprecated.daemonset.template.generation"
    kind = judge("apps", "daemonsets")
    old = kind.created(make("apps", "daemonsets"))
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"

    STRATEGIES["apps", "daemonsets"].prepare_update(new, old)

    assert old["metadata"]["annotations"][key] == "1"
    assert new["metadata"]["annotations"][key] == "2"


def test_a_job_labels_its_pods(judge: Any) -> None:
    created = judge("batch", "jobs").created(make("batch", "jobs", template=template(restartPolicy="Never")))

    assert created["spec"]["template"]["metadata"]["labels"] == {
        "app": "web",
        "batch.kubernetes.io/controller-uid": "uid-1",
        "batch.kubernetes.io/job-name": "x",
        "controller-uid": "uid-1",
        "job-name": "x",
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"completions": 2}, "spec.completions"),
        ({"selector": {"matchLabels": {"job-name": "x"}}}, "spec.selector"),
        ({"completionMode": "Indexed"}, "spec.completionMode"),
    ],
)
def test_what_a_job_is_may_not_change(judge: Any, change: dict[str, Any], field: str) -> None:
    kind = judge("batch", "jobs")
    old = kind.created(make("batch", "jobs", template=template(restartPolicy="Never")))
    new = {**old, "spec": {**old["spec"], **change}}

    faults = kind.update_faults(new, old)

    assert next(fault for fault in faults if fault.startswith(f"{field}: ")).endswith("field is immutable")


def test_a_suspended_job_may_still_be_directed(judge: Any) -> None:
    kind = judge("batch", "jobs")
    obj = make("batch", "jobs", suspend=True, template=template(restartPolicy="Never"))
    old = kind.created(obj)
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}

    assert kind.update_faults(new, old) == []
    started = {**old, "spec": {**old["spec"], "suspend": False}}
    assert kind.update_faults(new, started)[0].startswith("spec.template: Invalid value: ")


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("*/5 * * * *", ""),
        ("0 0 1 jan mon-fri", ""),
        ("@daily", ""),
        ("@every 1h30m", ""),
        ("* *", "expected exactly 5 fields, found 2: [* *]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@odd", "unrecognized descriptor: @odd"),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ],
)
def test_schedules(judge: Any, schedule: str, fault: str) -> None:
    job = {"spec": {"template": template(restartPolicy="Never")}}
    obj = {"metadata": {"name": "x"}, "spec": {"schedule": schedule, "jobTemplate": job}}

    wanted = [f'spec.schedule: Invalid value: "{schedule}": {fault}'] if fault else []
    assert judge("batch", "cronjobs").faults(obj) == wanted


def test_cronjobs_have_short_names_and_known_zones(judge: Any) -> None:
    job = {"spec": {"template": template(restartPolicy="Never")}}
    spec = {"schedule": "@daily", "timeZone": "Mars/Base", "jobTemplate": job}

    assert judge("batch", "cronjobs").faults({"metadata": {"name": "a" * 53}, "spec": spec}) == [
        'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base',
        f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters',
    ]
