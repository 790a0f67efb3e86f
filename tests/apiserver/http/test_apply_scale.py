"""Server-side apply to `…/scale`: whoever manages the replicas manages them in both views."""

from __future__ import annotations

from typing import Any

from ..conftest import Answer, Api, deployment

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
REPLICAS = {"f:spec": {"f:replicas": {}}}


async def scale_to(api: Api, replicas: int, manager: str = "scaler", path: str = "", **query: str) -> Answer:
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}}
    path = f"{path or f'{DEPLOYMENTS}/web'}/scale"
    return await api("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)


async def managers(api: Api, path: str = f"{DEPLOYMENTS}/web") -> dict[tuple[str, str, str], Any]:
    found = (await api("GET", path)).body["metadata"]["managedFields"]
    return {
        (entry.get("manager", ""), entry["operation"], entry.get("subresource", "")): entry for entry in found
    }


async def test_replicas_of_another_manager_are_taken_by_force_alone(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment(replicas=1))
    creator = next(iter(await managers(api)))

    refused = await scale_to(api, 3)
    forced = await scale_to(api, 3, force="true")

    assert refused.code == 409
    who = 'conflict with "" using autoscaling/v1'
    assert refused.body["message"] == f"Apply failed with 1 conflict: {who}: .spec.replicas"
    assert forced.code == 200
    assert forced.body["kind"] == "Scale"
    assert forced.body["spec"] == {"replicas": 3}
    assert "managedFields" not in forced.body["metadata"]
    found = await managers(api)
    assert found["scaler", "Apply", "scale"] == {
        "manager": "scaler",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": REPLICAS,
        "subresource": "scale",
    }
    assert "f:replicas" not in found[creator]["fieldsV1"]["f:spec"]
    assert "f:template" in found[creator]["fieldsV1"]["f:spec"]


async def test_what_agrees_is_shared(api: Api) -> None:
    config = {"apiVersion": "apps/v1", "kind": "Deployment"} | deployment(replicas=2)
    await api("PATCH", f"{DEPLOYMENTS}/web", config, content_type=APPLY, fieldManager="owner")

    agreed = await scale_to(api, 2)
    before = (await api("GET", f"{DEPLOYMENTS}/web")).body
    again = await scale_to(api, 2)

    assert (agreed.code, again.code) == (200, 200)
    found = await managers(api)
    assert found["owner", "Apply", ""]["fieldsV1"]["f:spec"]["f:replicas"] == {}
    assert found["owner", "Apply", ""]["time"]
    assert found["scaler", "Apply", "scale"]["fieldsV1"] == REPLICAS
    assert (await api("GET", f"{DEPLOYMENTS}/web")).body == before


async def test_an_apply_to_the_object_meets_the_manager_of_its_scale(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    await scale_to(api, 3, force="true")
    config = {"apiVersion": "apps/v1", "kind": "Deployment"} | deployment(replicas=5)

    refused = await api("PATCH", f"{DEPLOYMENTS}/web", config, content_type=APPLY, fieldManager="owner")

    assert refused.code == 409
    assert 'conflict with "scaler" with subresource "scale": .spec.replicas' in refused.body["message"]


async def test_a_patch_of_the_scale_takes_the_replicas_from_its_applier(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    await scale_to(api, 3, force="true")

    await api("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 4}}, content_type=MERGE,
              fieldManager="hand")  # fmt: skip

    found = await managers(api)
    assert ("scaler", "Apply", "scale") not in found
    assert found["hand", "Update", "scale"]["fieldsV1"] == REPLICAS
    assert "time" not in found["hand", "Update", "scale"]


async def test_bad_configurations_are_refused(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 3}}
    path = f"{DEPLOYMENTS}/web/scale"

    other = await api("PATCH", path, wrong, content_type=APPLY, fieldManager="scaler")
    negative = await scale_to(api, -1, force="true")
    absent = await scale_to(api, 1, path=f"{DEPLOYMENTS}/none")
    stale = await api(
        "PATCH", path,
        {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"resourceVersion": "1"},
         "spec": {"replicas": 3}},
        content_type=APPLY, fieldManager="scaler", force="true",
    )  # fmt: skip

    assert (other.code, negative.code, absent.code, stale.code) == (400, 422, 404, 409)
    assert "expected: autoscaling/v1, Kind=Scale" in other.body["message"]


async def test_dry_run_scales_nothing(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment(replicas=1))

    answer = await scale_to(api, 7, force="true", dryRun="All")

    assert answer.body["spec"] == {"replicas": 7}
    assert (await api("GET", f"{DEPLOYMENTS}/web")).body["spec"]["replicas"] == 1
