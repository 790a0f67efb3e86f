"""HorizontalPodAutoscalers over HTTP: every rule of their metrics, and the notes of version 1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..conftest import Api
from .rules import (
    FORBIDDEN,
    INVALID,
    REQUIRED,
    UNSUPPORTED,
    merged,
    one,
    refused_creations,
    refused_updates,
)

V1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
V2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
NOTE = "autoscaling.alpha.kubernetes.io/"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
BASE: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {"maxReplicas": 5, "scaleTargetRef": TARGET}}
AT = "spec.metrics[0]"
SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "web"}
UTILIZATION = {"type": "Utilization", "averageUtilization": 50}


def metrics(*given: Any) -> dict[str, Any]:
    return {"spec": {"metrics": list(given)}}


def about(version: str) -> dict[str, Any]:
    """One metric, of an object in that version."""
    return {"type": "Object", "object": {"describedObject": SERVICE | {"apiVersion": version},
            "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}  # fmt: skip


def notes(**values: Any) -> dict[str, Any]:
    written = {NOTE + name.replace("_", "-"): value for name, value in values.items()}
    encoded = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in written.items()
    }
    return {"metadata": {"annotations": encoded}}


async def test_what_is_scaled_is_of_a_group(api: Api) -> None:
    def ref(**fields: str) -> dict[str, Any]:
        return {"spec": {"scaleTargetRef": TARGET | fields}}

    found = await refused_creations(api, V2, BASE, {
        "none": ref(apiVersion=""),
        "core": ref(apiVersion="v1"),
        "slashes": ref(apiVersion="a/b/c"),
        "controller": ref(apiVersion="v1", kind="ReplicationController"),
        "described": metrics(about("a/b/c")),
        "in the core": metrics(about("v1")),
    })  # fmt: skip

    here, group = "spec.scaleTargetRef.apiVersion", "apiVersion must specify API group"
    assert found["none"] == one(here, INVALID, f'Invalid value: "": {group}')
    assert found["core"] == one(here, INVALID, f'Invalid value: "v1": {group}')
    assert found["slashes"] == one(here, INVALID,
        'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c')  # fmt: skip
    assert found["controller"] == found["in the core"] == []
    assert found["described"] == one(f"{AT}.object.describedObject.apiVersion", INVALID,
        'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c')  # fmt: skip


async def test_metrics_have_one_source_of_their_type(api: Api) -> None:
    container = {"name": "", "container": "A b", "target": UTILIZATION}

    found = await refused_creations(api, V2, BASE, {
        "unknown": metrics({"type": "Odd"}),
        "untyped": metrics({}),
        "container": metrics({"type": "ContainerResource", "containerResource": container}),
        "external": metrics({"type": "External", "external": {"metric": {"name": "a/b"}, "target": {
            "type": "Value", "value": "1", "averageValue": "1"}}}),
        "nowhere": {"spec": {"minReplicas": 0}},
        "tolerance": {"spec": {"behavior": {"scaleUp": {"tolerance": "-1"}}}},
    })  # fmt: skip

    types = '"ContainerResource", "External", "Object", "Pods", "Resource"'
    unknown = (f"{AT}.type", UNSUPPORTED, f'Unsupported value: "Odd": supported values: {types}')
    assert found["unknown"] == [unknown, unknown]
    assert [cause[1] for cause in found["untyped"]] == [REQUIRED, UNSUPPORTED, UNSUPPORTED]
    place = f"{AT}.containerResource"
    assert found["container"][0] == (
        f"{place}.name",
        REQUIRED,
        "Required value: must specify a resource name",
    )
    assert [cause[:2] for cause in found["container"][1:]] == [(f"{place}.container", INVALID)]
    assert found["external"] == [
        (f"{AT}.external.metric.name", INVALID, "Invalid value: \"a/b\": may not contain '/'"),
        (f"{AT}.external.target.value", FORBIDDEN,
         "Forbidden: may not set both a target value for metric and a per-pod target"),
    ]  # fmt: skip
    assert found["nowhere"] == [
        ("spec.metrics", FORBIDDEN, "Forbidden: must specify at least one Object or External metric to"
         " support scaling to zero replicas"),
    ]  # fmt: skip
    assert found["tolerance"] == one("spec.behavior.scaleUp.tolerance", INVALID,
        'Invalid value: "-1": must be greater than or equal to 0')  # fmt: skip


async def test_the_counts_of_a_status_are_not_negative(api: Api) -> None:
    changes = {"status": {"status": {"currentReplicas": -1, "desiredReplicas": -1}}}

    found = await refused_updates(api, V2, BASE, changes, subresource="status")

    assert [cause[0] for cause in found["status"]] == ["status.currentReplicas", "status.desiredReplicas"]


async def test_without_any_metric_the_first_version_wants_the_usual_share_of_the_cpu(api: Api) -> None:
    made = await api.make(V1, BASE)
    later = (await api("GET", f"{V2}/one")).body

    assert made["spec"]["targetCPUUtilizationPercentage"] == 80
    assert later["spec"]["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION | {"averageUtilization": 80}}}
    ]


async def test_notes_of_the_first_version_are_judged_as_what_they_say(api: Api) -> None:
    rules = {"ScaleUp": {"Policies": [{"Type": "Pods", "Value": 0, "PeriodSeconds": 1801}]}}

    found = await refused_creations(api, V1, BASE, {
        "type": notes(metrics=[{"type": "Odd"}]),
        "source": notes(metrics=[{"type": "Pods"}]),
        "amount": notes(metrics=[{"type": "Resource", "resource": {"name": "", "targetAverageValue": -1}}]),
        "behavior": notes(behavior=rules),
        "no rules": notes(behavior={"ScaleUp": {}}),
    })  # fmt: skip

    assert [cause[:2] for cause in found["type"]] == [(f"{AT}.type", UNSUPPORTED)] * 2
    assert found["source"] == one(f"{AT}.pods", REQUIRED,
        "Required value: must populate information for the given metric source")  # fmt: skip
    assert found["amount"] == [
        (f"{AT}.resource.name", REQUIRED, "Required value: must specify a resource name"),
        (f"{AT}.resource.target.averageValue", INVALID, 'Invalid value: "-1": must be positive'),
    ]
    up = "spec.behavior.scaleUp.policies"
    assert found["behavior"] == [
        (f"{up}[0].value", INVALID, "Invalid value: 0: must be greater than zero"),
        (f"{up}[0].periodSeconds", INVALID, "Invalid value: 1801: must be less than or equal to 1800"),
    ]
    assert found["no rules"] == one(up, REQUIRED, "Required value: must specify at least one Policy")


@pytest.mark.parametrize(
    "note",
    [
        notes(metrics="["),
        notes(metrics=[1]),
        notes(metrics=[{"type": []}]),
        notes(metrics=[{"type": "Resource", "resource": 5}]),
        notes(metrics=[{"type": "Resource", "resource": {"name": 5}}]),
        notes(metrics=[{"type": "Resource", "resource": {"name": "cpu", "targetAverageValue": "much"}}]),
        notes(metrics="[" * 10_000),
        notes(behavior=[]),
        notes(behavior={"ScaleUp": 5}),
        notes(behavior={"ScaleUp": {"Policies": [7]}}),
        notes(behavior={"ScaleUp": {"Tolerance": "much"}}),
        notes(conditions=[5]),
        notes(current_metrics=[5]),
        notes(current_metrics=[{"type": "Pods", "pods": {"currentAverageValue": {}}}]),
    ],
)
async def test_notes_that_cannot_be_read_say_nothing(api: Api, note: dict[str, Any]) -> None:
    answer = await api("POST", V1, merged(BASE, note))

    assert answer.code == 201, answer.body
    stored = (await api("GET", f"{V2}/one")).body
    assert stored["spec"] == BASE["spec"] | {"minReplicas": 1, "metrics": stored["spec"]["metrics"]}
    assert stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert "annotations" not in stored["metadata"]


async def test_what_the_second_version_says_survives_the_first(api: Api) -> None:
    rules = {"stabilizationWindowSeconds": 30, "selectPolicy": "Min", "tolerance": "100m",
             "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}  # fmt: skip
    spec = metrics(about("v1"))["spec"] | {"behavior": {"scaleUp": rules, "scaleDown": rules}}
    made = await api.make(V2, merged(BASE, {"spec": spec}))

    first = (await api("GET", f"{V1}/one")).body
    written = await api("PUT", f"{V1}/one", merged(first, {"spec": {"maxReplicas": 6}}))

    assert written.code == 200, written.body
    again = (await api("GET", f"{V2}/one")).body
    assert again["spec"] == made["spec"] | {"maxReplicas": 6}


def test_what_an_old_autoscaler_has_may_stay(judge: Any) -> None:
    kind = judge("autoscaling", "horizontalpodautoscalers")
    old = kind.created(BASE | {"apiVersion": "autoscaling/v2"})
    old["spec"] |= {"minReplicas": 0, "metrics": [about("a/b/c")]}
    old["spec"]["scaleTargetRef"] = TARGET | {"apiVersion": "v1"}

    renamed = kind.update_faults(merged(old, {"spec": {"scaleTargetRef": {"name": "db"}}}), old)
    another = kind.update_faults(merged(old, {"spec": {"scaleTargetRef": {"kind": "Other"}}}), old)
    lower = kind.update_faults(merged(old, {"spec": {"minReplicas": -1}}), old)

    assert renamed == []
    group = "apiVersion must specify API group"
    assert another == [f'spec.scaleTargetRef.apiVersion: Invalid value: "v1": {group}']
    assert lower == ["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0"]
