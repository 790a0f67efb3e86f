"""Server-side apply and managedFields over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..conftest import Answer, Api, configmap, deployment, pod

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


def settings(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap"} | configmap(**data)


async def apply(api: Api, config: Any, manager: str = "me", **query: str) -> Answer:
    path = f"{CONFIGMAPS}/settings"
    return await api("PATCH", path, config, content_type=APPLY, fieldManager=manager, **query)


def managers(obj: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    return {
        (entry.get("manager", ""), entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in obj["metadata"]["managedFields"]
    }


async def test_apply_creates_then_changes_then_leaves_alone(api: Api) -> None:
    first = await apply(api, settings(color="blue", size="1"))
    second = await apply(api, settings(color="green"))
    third = await apply(api, settings(color="green"))

    assert (first.code, second.code, third.code) == (201, 200, 200)
    assert second.body["data"] == {"color": "green"}
    assert third.body == second.body
    (entry,) = second.body["metadata"]["managedFields"]
    assert entry.pop("time")
    assert entry == {
        "manager": "me",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:color": {}}},
    }


async def test_appliers_that_meet_at_creation_both_succeed(api: Api) -> None:
    answers = await asyncio.gather(*(apply(api, settings(**{name: "x"}), name) for name in "abcd"))

    found = await api("GET", f"{CONFIGMAPS}/settings")
    assert sorted(answer.code for answer in answers) == [200, 200, 200, 201]
    assert found.body["data"] == dict.fromkeys("abcd", "x")
    assert len(managers(found.body)) == 4


async def test_a_yaml_body_names_itself_by_its_url(api: Api) -> None:
    answer = await apply(api, b"apiVersion: v1\nkind: ConfigMap\ndata:\n  a: b\n")

    assert answer.code == 201
    assert answer.body["metadata"]["name"] == "settings"


async def test_a_conflict_names_manager_and_field(api: Api) -> None:
    await apply(api, settings(color="blue"), "first")

    refused = await apply(api, settings(color="red"), "second")
    forced = await apply(api, settings(color="red"), "second", force="true")

    assert refused.code == 409
    assert refused.body["reason"] == "Conflict"
    assert refused.body["message"] == 'Apply failed with 1 conflict: conflict with "first": .data.color'
    assert refused.body["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "first"', "field": ".data.color"}
    ]
    assert forced.body["data"] == {"color": "red"}
    assert set(managers(forced.body)) == {("second", "Apply", "")}


async def test_dry_run_shows_the_result_alone(api: Api) -> None:
    created = await apply(api, settings(), dryRun="All")
    missing = await api("GET", f"{CONFIGMAPS}/settings")

    assert created.code == 201
    assert managers(created.body)
    assert missing.code == 404


@pytest.mark.parametrize(
    ("query", "content_type", "fault"),
    [
        pytest.param({}, APPLY, "fieldManager: Required value: is required for apply patch", id="no-manager"),
        pytest.param(
            {"force": "true"}, MERGE, "force: Forbidden: may not be specified for non-apply patch", id="force"
        ),
        pytest.param(
            {"fieldManager": "x" * 129},
            MERGE,
            "fieldManager: Too long: may not be more than 128 bytes",
            id="long",
        ),
    ],
)
async def test_options_are_checked(api: Api, query: dict[str, str], content_type: str, fault: str) -> None:
    await api.make(CONFIGMAPS, configmap())

    answer = await api("PATCH", f"{CONFIGMAPS}/settings", settings(), content_type=content_type, **query)

    assert answer.code == 422
    assert answer.body["message"] == f'PatchOptions.meta.k8s.io "" is invalid: {fault}'


@pytest.mark.parametrize(
    ("body", "code", "fault"),
    [
        pytest.param({"kind": "ConfigMap"}, 400, "Object 'apiVersion' is missing", id="no-version"),
        pytest.param(settings() | {"kind": "Secret"}, 400, "Incorrect version specified", id="kind"),
        pytest.param(settings() | {"spec": {}}, 400, ".spec: field not declared in schema", id="unknown"),
        pytest.param(settings() | {"data": 1}, 400, "cannot unmarshal number", id="type"),
        pytest.param(b"{", 400, "error decoding YAML", id="json"),
        pytest.param(b"a: [", 400, "error decoding YAML", id="yaml"),
        pytest.param(b"- 1", 400, "error decoding YAML", id="list"),
        pytest.param(settings() | {"metadata": 1}, 400, "cannot unmarshal", id="metadata"),
        pytest.param(
            settings() | {"metadata": {"name": "settings", "managedFields": [{}]}}, 400,
            "metadata.managedFields must be nil", id="managed",
        ),
        pytest.param(settings() | {"metadata": {"name": "x"}}, 400, "does not match the name", id="name"),
    ],
)  # fmt: skip
async def test_bad_configurations_are_refused(api: Api, body: Any, code: int, fault: str) -> None:
    answer = await apply(api, body)

    assert answer.code == code, answer.body
    assert fault in answer.body["message"]


async def test_a_write_without_a_field_manager_is_recorded_by_its_user_agent(api: Api) -> None:
    headers = {"user-agent": "octl/v1.2 (linux) kubernetes/abc", "content-type": "application/json"}
    body = json.dumps(configmap()).encode()

    answer = await api.transport.request("POST", CONFIGMAPS, query={}, headers=headers, body=body)

    assert set(managers(json.loads(answer.body))) == {("octl", "Update", "")}


async def test_writes_are_recorded_by_manager_and_endpoint(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    path = f"{DEPLOYMENTS}/web"
    await api("PATCH", path, {"spec": {"paused": True}}, content_type=MERGE, fieldManager="editor")
    status = {"status": {"replicas": 1}, "spec": {"paused": False}}
    await api("PATCH", f"{path}/status", status, content_type=MERGE, fieldManager="controller")
    scale = {"spec": {"replicas": 3}}
    await api("PATCH", f"{path}/scale", scale, content_type=MERGE, fieldManager="scaler")

    found = managers((await api("GET", path)).body)

    creator = next(key for key in found if "f:template" in found[key].get("f:spec", {}))
    assert creator[1:] == ("Update", "")
    assert "f:replicas" not in found[creator]["f:spec"]
    assert found["editor", "Update", ""] == {"f:spec": {"f:paused": {}}}
    assert found["controller", "Update", "status"] == {"f:status": {"f:replicas": {}}}
    assert found["scaler", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}


async def test_a_write_that_changes_nothing_keeps_revision_and_time(api: Api) -> None:
    made = await api.make(DEPLOYMENTS, deployment())

    again = await api("PUT", f"{DEPLOYMENTS}/web", made, fieldManager="other")

    assert again.body == made


async def test_status_is_applied_through_its_endpoint_alone(api: Api) -> None:
    await api.make(PODS, pod())
    config = {"apiVersion": "v1", "kind": "Pod", "status": {"message": "hello"}}

    applied = await api("PATCH", f"{PODS}/web/status", config, content_type=APPLY, fieldManager="me")
    absent = await api("PATCH", f"{PODS}/none/status", config, content_type=APPLY, fieldManager="me")

    assert applied.body["status"]["message"] == "hello"
    assert managers(applied.body)["me", "Apply", "status"] == {"f:status": {"f:message": {}}}
    assert absent.code == 404


async def test_defaulted_objects_apply_again_without_a_write(api: Api) -> None:
    config = {"apiVersion": "apps/v1", "kind": "Deployment"} | deployment()
    path = f"{DEPLOYMENTS}/web"

    first = await api("PATCH", path, config, content_type=APPLY, fieldManager="me")
    second = await api("PATCH", path, config, content_type=APPLY, fieldManager="me")

    assert first.code == 201
    assert second.body == first.body


async def test_clients_may_rewrite_and_reset_the_entries(api: Api) -> None:
    made = (await apply(api, settings(color="blue"), "old")).body
    entries = [made["metadata"]["managedFields"][0] | {"manager": "new"}]
    path = f"{CONFIGMAPS}/settings"

    moved = await api("PATCH", path, {"metadata": {"managedFields": entries}}, content_type=MERGE)
    kept = await api("PATCH", path, {"metadata": {"managedFields": []}}, content_type=MERGE)
    reset = await api("PATCH", path, {"metadata": {"managedFields": [{}]}}, content_type=MERGE)

    assert set(managers(moved.body)) == {("new", "Apply", "")}
    assert set(managers(kept.body)) == {("new", "Apply", "")}
    assert "managedFields" not in reset.body["metadata"]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([{"manager": "x", "operation": "Update", "fieldsV1": {"x": 1}}], id="no-set"),
        pytest.param([{"manager": "x", "operation": "Guess", "fieldsV1": {}}], id="operation"),
        pytest.param([{"manager": "x"}], id="no-fields"),
    ],
)
async def test_entries_that_make_no_sense_change_nothing(api: Api, entries: list[Any]) -> None:
    made = (await apply(api, settings(color="blue"))).body

    answer = await api(
        "PATCH", f"{CONFIGMAPS}/settings", {"metadata": {"managedFields": entries}}, content_type=MERGE
    )

    assert answer.code == 200
    assert answer.body == made
