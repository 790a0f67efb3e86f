"""Managers of objects that are served in several versions: each entry is of the version that was written."""

from __future__ import annotations

from typing import Any

from ..conftest import Answer, Api

HPAS = "namespaces/default/horizontalpodautoscalers"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

TARGET = {"f:apiVersion": {}, "f:kind": {}, "f:name": {}}


def autoscaler(version: str, **spec: Any) -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": f"autoscaling/{version}",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5} | spec,
    }


def cpu(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]}


async def apply(api: Api, body: dict[str, Any], manager: str = "me", **query: str) -> Answer:
    path = f"/apis/{body['apiVersion']}/{HPAS}/web"
    return await api("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)


def managers(answer: Answer) -> dict[str, tuple[str, Any]]:
    entries = answer.body["metadata"]["managedFields"]
    return {entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in entries}


async def test_a_conflict_is_found_across_versions(api: Api) -> None:
    await apply(api, autoscaler("v1", targetCPUUtilizationPercentage=50), "first")

    refused = await apply(api, autoscaler("v2", **cpu(70)), "second")
    forced = await apply(api, autoscaler("v2", **cpu(70)), "second", force="true")

    assert refused.code == 409
    assert 'conflict with "first": .spec.targetCPUUtilizationPercentage' in refused.body["message"]
    assert managers(forced)["first"][0] == "autoscaling/v1"
    assert "f:targetCPUUtilizationPercentage" not in managers(forced)["first"][1]["f:spec"]
    assert managers(forced)["second"] == (
        "autoscaling/v2",
        {"f:spec": {"f:maxReplicas": {}, "f:metrics": {}, "f:scaleTargetRef": TARGET}},
    )


async def test_an_update_through_one_version_leaves_managers_of_the_other_what_it_does_not_touch(
    api: Api,
) -> None:
    await apply(api, autoscaler("v1", targetCPUUtilizationPercentage=50, minReplicas=2), "first")

    path = f"/apis/autoscaling/v2/{HPAS}/web"
    patched = await api("PATCH", path, {"spec": cpu(80)}, content_type=MERGE, fieldManager="hand")

    fields = managers(patched)["first"][1]["f:spec"]
    assert set(fields) == {"f:maxReplicas", "f:minReplicas", "f:scaleTargetRef"}
    assert managers(patched)["hand"] == ("autoscaling/v2", {"f:spec": {"f:metrics": {}}})


async def test_an_applier_moves_between_versions(api: Api) -> None:
    await apply(api, autoscaler("v1", targetCPUUtilizationPercentage=50, minReplicas=2))

    moved = await apply(api, autoscaler("v2", **cpu(50)))

    # It lists minReplicas no more: the default is back. What it now lists under other names stays.
    assert moved.body["spec"]["metrics"] == cpu(50)["metrics"]
    assert moved.body["spec"]["minReplicas"] == 1
    assert managers(moved)["me"] == (
        "autoscaling/v2",
        {"f:spec": {"f:maxReplicas": {}, "f:metrics": {}, "f:scaleTargetRef": TARGET}},
    )


async def test_what_another_versions_manager_lists_is_not_withdrawn(api: Api) -> None:
    await apply(api, autoscaler("v1", targetCPUUtilizationPercentage=50), "first")
    await apply(api, autoscaler("v2", **cpu(50)), "second")

    left = await apply(api, autoscaler("v2"), "second")

    assert left.body["spec"]["metrics"] == cpu(50)["metrics"]


async def test_events_are_managed_in_both_groups(api: Api) -> None:
    core = "/api/v1/namespaces/default/events"
    event = {
        "metadata": {"name": "started"},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "regarding": {"kind": "Pod", "name": "web", "namespace": "default"},
        "action": "Starting",
        "reason": "Started",
        "note": "it runs",
        "type": "Normal",
        "reportingController": "example.com/agent",
        "reportingInstance": "agent-1",
    }
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    config = {"apiVersion": "v1", "kind": "Event", "message": "it ran"}

    made = await api("POST", path, event, fieldManager="first")
    refused = await api("PATCH", f"{core}/started", config, content_type=APPLY, fieldManager="second")
    forced = await api(
        "PATCH", f"{core}/started", config, content_type=APPLY, fieldManager="second", force="true"
    )

    assert made.code == 201, made.body
    assert refused.code == 409
    assert refused.body["message"].endswith('conflict with "first" using events.k8s.io/v1: .note')
    found = managers(forced)
    assert found["second"] == ("v1", {"f:message": {}})
    assert found["first"][0] == "events.k8s.io/v1"
    assert "f:note" not in found["first"][1]
    assert "f:regarding" in found["first"][1]


async def test_entries_of_versions_that_are_not_served_go(api: Api) -> None:
    made = (await apply(api, autoscaler("v2"))).body
    old = {
        "manager": "old", "operation": "Update", "apiVersion": "autoscaling/v2beta2",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:minReplicas": {}}},
    }  # fmt: skip
    path = f"/apis/autoscaling/v2/{HPAS}/web"
    entries = [*made["metadata"]["managedFields"], old]

    patched = await api(
        "PATCH", path, {"metadata": {"managedFields": entries}, "spec": {"minReplicas": 3}},
        content_type=MERGE, fieldManager="hand",
    )  # fmt: skip

    assert set(managers(patched)) == {"me", "hand"}
