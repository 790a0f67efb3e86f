"""Creating, changing and deleting objects over HTTP: what is stored, and what is said when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap, deployment, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"


async def test_a_created_object_gets_what_only_the_server_sets(api: Api) -> None:
    made = await api.make(MAPS, configmap())

    meta = made["metadata"]
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert meta["namespace"] == "default"
    assert {"uid", "creationTimestamp", "resourceVersion"} <= meta.keys()
    assert (await api("GET", f"{MAPS}/settings")).body == made


async def test_generated_names_extend_the_prefix(api: Api) -> None:
    first = await api.make(MAPS, {"metadata": {"generateName": "job-"}})
    second = await api.make(MAPS, {"metadata": {"generateName": "job-"}})

    names = {first["metadata"]["name"], second["metadata"]["name"]}
    assert len(names) == 2
    assert all(name.startswith("job-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("path", "body", "code", "reason", "message"),
    [
        pytest.param(MAPS, b'{"metadata":', 400, "BadRequest",
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
            'json parse error: unexpected end of JSON input ({"metadata":)', id="malformed-json"),
        pytest.param(MAPS, {"metadata": {"name": "a"}, "data": {"x": 1}}, 400, "BadRequest",
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into '
            "Go struct field ConfigMap.data of type string", id="wrong-type"),
        pytest.param(MAPS, {"kind": "Pod", "apiVersion": "v1"}, 400, "BadRequest",
            'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (v1.ConfigMap): '
            "unknown conversion", id="wrong-kind"),
        pytest.param(MAPS, {"apiVersion": "apps/v1"}, 400, "BadRequest",
            "the API version in the data (apps/v1) does not match the expected API version (v1)",
            id="wrong-version"),
        pytest.param(MAPS, {"metadata": {"name": "a", "namespace": "kube-system"}}, 400, "BadRequest",
            "the namespace of the provided object does not match the namespace sent on the request",
            id="wrong-namespace"),
        pytest.param(MAPS, {}, 422, "Invalid",
            'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
            id="no-name"),
        pytest.param("/api/v1/namespaces/nowhere/configmaps", configmap(), 404, "NotFound",
            'namespaces "nowhere" not found', id="missing-namespace"),
        pytest.param("/api/v1/gadgets", {}, 404, "NotFound",
            "the server could not find the requested resource", id="unknown-resource"),
        pytest.param("/api/v1/configmaps", configmap(), 405, "MethodNotAllowed",
            "the server does not allow this method on the requested resource", id="no-namespace"),
        pytest.param(MAPS, b" " * (3 * 1024 * 1024 + 1), 413, "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728", id="oversized"),
        pytest.param(MAPS, {"metadata": {"name": "a", "resourceVersion": "5"}}, 400, "BadRequest",
            "resourceVersion should not be set on objects to be created", id="with-revision"),
    ],
)  # fmt: skip
async def test_a_bad_creation_is_refused_and_stores_nothing(
    api: Api, path: str, body: Any, code: int, reason: str | None, message: str
) -> None:
    answer = await api("POST", path, body)

    assert (answer.code, answer.body.get("reason"), answer.body["message"]) == (code, reason, message)
    assert answer.body["code"] == code
    assert (await api("GET", MAPS)).body["items"] == []


async def test_names_must_follow_dns_rules(api: Api) -> None:
    answer = await api("POST", MAPS, configmap("Not_A_Name"))

    assert answer.code == 422
    assert answer.body["details"]["causes"][0]["field"] == "metadata.name"
    assert "a lowercase RFC 1123 subdomain must consist of" in answer.body["message"]


async def test_malformed_yaml_is_a_bad_request(api: Api) -> None:
    answer = await api("POST", MAPS, b"metadata: [", content_type="application/yaml")

    assert answer.code == 400
    assert answer.body["message"].startswith(
        "the object provided is unrecognized (must be of type ConfigMap): "
    )


async def test_yaml_bodies_are_read(api: Api) -> None:
    answer = await api(
        "POST", MAPS, b"metadata: {name: settings}\ndata: {a: b}\n", content_type="application/yaml"
    )

    assert (answer.code, answer.body["data"]) == (201, {"a": "b"})


@pytest.mark.parametrize("content_type", ["application/cbor", "text/plain", "application/merge-patch+json"])
async def test_other_media_types_are_unsupported(api: Api, content_type: str) -> None:
    answer = await api("POST", MAPS, b"{}", content_type=content_type)

    assert (answer.code, answer.body["reason"]) == (415, "UnsupportedMediaType")
    assert answer.body["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


async def test_unknown_fields_are_refused_dropped_with_a_warning_or_just_dropped(api: Api) -> None:
    body = configmap() | {"colour": 1}

    strict = await api("POST", MAPS, body, fieldValidation="Strict")
    ignored = await api("POST", MAPS, body, fieldValidation="Ignore", dryRun="All")
    warned = await api("POST", MAPS, body)

    assert strict.code == 400
    assert strict.body["message"].endswith('strict decoding error: unknown field "colour"')
    assert (ignored.code, "warning" in ignored.headers) == (201, False)
    assert (warned.code, warned.headers["warning"]) == (201, '299 - "unknown field \\"colour\\""')
    assert "colour" not in warned.body


async def test_creating_twice_conflicts(api: Api) -> None:
    await api.make(MAPS, configmap())

    answer = await api("POST", MAPS, configmap())

    assert (answer.code, answer.body["reason"]) == (409, "AlreadyExists")
    assert answer.body["message"] == 'configmaps "settings" already exists'
    assert answer.body["details"] == {"name": "settings", "kind": "configmaps"}


async def test_dry_run_answers_but_stores_nothing(api: Api) -> None:
    answer = await api("POST", MAPS, configmap(), dryRun="All")

    assert answer.code == 201
    assert (await api("GET", f"{MAPS}/settings")).code == 404


async def test_a_stale_revision_conflicts(api: Api) -> None:
    made = await api.make(MAPS, configmap())
    await api("PUT", f"{MAPS}/settings", made | {"data": {"color": "red"}})

    answer = await api("PUT", f"{MAPS}/settings", made | {"data": {"color": "green"}})

    assert (answer.code, answer.body["reason"]) == (409, "Conflict")
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )
    assert (await api("GET", f"{MAPS}/settings")).body["data"] == {"color": "red"}


async def test_an_update_that_changes_nothing_keeps_the_revision(api: Api) -> None:
    made = await api.make(MAPS, configmap())

    same = await api("PUT", f"{MAPS}/settings", configmap())

    assert same.body == made


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        pytest.param({"name": "other"}, 400,
            "the name of the object (other) does not match the name on the URL (settings)", id="name"),
        pytest.param({"name": "settings", "namespace": "other"}, 400,
            "the namespace of the object (other) does not match the namespace on the request (default)",
            id="namespace"),
        pytest.param({"name": "settings", "creationTimestamp": "2001-01-01T00:00:00Z"}, 422,
            'ConfigMap "settings" is invalid: metadata.creationTimestamp: Invalid value: '
            '"2001-01-01T00:00:00Z": field is immutable', id="creation-time"),
    ],
)  # fmt: skip
async def test_identity_cannot_be_changed(
    api: Api, metadata: dict[str, str], code: int, message: str
) -> None:
    await api.make(MAPS, configmap())

    answer = await api("PUT", f"{MAPS}/settings", {"metadata": metadata})

    assert (answer.code, answer.body["message"]) == (code, message)


async def test_another_uid_is_a_failed_precondition(api: Api) -> None:
    made = await api.make(MAPS, configmap())

    answer = await api("PUT", f"{MAPS}/settings", {"metadata": {"name": "settings", "uid": "nope"}})

    assert answer.code == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "settings": StorageError: invalid object, Code: 4, Key: '
        "/registry/configmaps/default/settings, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
        f"UID in precondition: nope, UID in object meta: {made['metadata']['uid']}"
    )


async def test_updating_what_does_not_exist_is_not_found(api: Api) -> None:
    answer = await api("PUT", f"{MAPS}/settings", configmap())

    assert (answer.code, answer.body["message"]) == (404, 'configmaps "settings" not found')


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        pytest.param(MERGE, {"data": {"color": None, "size": "1"}}, id="merge"),
        pytest.param("application/strategic-merge-patch+json", {"data": {"color": None, "size": "1"}},
            id="strategic"),
        pytest.param("application/json-patch+json",
            [{"op": "remove", "path": "/data/color"}, {"op": "add", "path": "/data/size", "value": "1"}],
            id="json"),
    ],
)  # fmt: skip
async def test_patches_change_what_they_name(api: Api, content_type: str, patch: Any) -> None:
    await api.make(MAPS, configmap(color="blue", shape="round"))

    answer = await api("PATCH", f"{MAPS}/settings", patch, content_type=content_type)

    assert (answer.code, answer.body["data"]) == (200, {"shape": "round", "size": "1"})


async def test_a_patch_with_a_stale_revision_conflicts(api: Api) -> None:
    await api.make(MAPS, configmap())

    answer = await api(
        "PATCH", f"{MAPS}/settings", {"metadata": {"resourceVersion": "1"}}, content_type=MERGE
    )

    assert (answer.code, answer.body["reason"]) == (409, "Conflict")


async def test_the_generation_counts_changes_of_the_spec_alone(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())

    labelled = await api(
        "PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE
    )
    scaled = await api("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 3}}, content_type=MERGE)

    assert [answer.body["metadata"]["generation"] for answer in (labelled, scaled)] == [1, 2]


async def test_status_and_spec_are_written_through_their_own_paths(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    both = {"spec": {"replicas": 5}, "status": {"replicas": 2}}

    await api("PATCH", f"{DEPLOYMENTS}/web/status", both, content_type=MERGE)
    after_status = (await api("GET", f"{DEPLOYMENTS}/web")).body
    await api("PATCH", f"{DEPLOYMENTS}/web", both | {"status": {"replicas": 9}}, content_type=MERGE)
    after_spec = (await api("GET", f"{DEPLOYMENTS}/web")).body

    assert (after_status["spec"]["replicas"], after_status["status"]["replicas"]) == (1, 2)
    assert (after_spec["spec"]["replicas"], after_spec["status"]["replicas"]) == (5, 2)


async def test_immutable_fields_cannot_be_changed(api: Api) -> None:
    made = await api.make(DEPLOYMENTS, deployment())
    labels = {"app": "other"}
    made["spec"]["selector"]["matchLabels"] = labels
    made["spec"]["template"]["metadata"]["labels"] = labels

    answer = await api("PUT", f"{DEPLOYMENTS}/web", made)

    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"].endswith("field is immutable")


async def test_deleting_answers_with_what_was_deleted(api: Api) -> None:
    made = await api.make(MAPS, configmap())

    answer = await api("DELETE", f"{MAPS}/settings")

    assert answer.body["status"] == "Success"
    details = {"name": "settings", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert answer.body["details"] == details
    assert (await api("GET", f"{MAPS}/settings")).code == 404


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_deletion_preconditions_must_hold(api: Api, field: str) -> None:
    await api.make(MAPS, configmap())

    answer = await api("DELETE", f"{MAPS}/settings", {"preconditions": {field: "1"}})

    assert answer.code == 409
    assert (await api("GET", f"{MAPS}/settings")).code == 200


async def test_finalizers_hold_a_deleted_object_until_the_last_is_gone(api: Api) -> None:
    await api.make(MAPS, {"metadata": {"name": "a", "finalizers": ["example.com/wait"]}})

    marked = await api("DELETE", f"{MAPS}/a")
    added = await api(
        "PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}},
        content_type=MERGE,
    )  # fmt: skip
    emptied = await api("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, content_type=MERGE)

    assert marked.body["metadata"]["deletionTimestamp"]
    assert added.code == 422
    assert emptied.code == 200
    assert (await api("GET", f"{MAPS}/a")).code == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
async def test_propagation_policies_leave_the_work_to_the_garbage_collector(
    api: Api, policy: str, finalizer: str
) -> None:
    await api.make(DEPLOYMENTS, deployment())

    answer = await api("DELETE", f"{DEPLOYMENTS}/web", propagationPolicy=policy)

    assert answer.body["metadata"]["finalizers"] == [finalizer]
    assert answer.body["metadata"]["deletionTimestamp"]


async def test_a_pod_on_a_node_is_deleted_gracefully(api: Api) -> None:
    await api.make(PODS, pod(nodeName="n1", terminationGracePeriodSeconds=40))

    first = await api("DELETE", f"{PODS}/web")
    later = await api("DELETE", f"{PODS}/web", gracePeriodSeconds="60")
    now = await api("DELETE", f"{PODS}/web", gracePeriodSeconds="0")

    assert first.body["metadata"]["deletionGracePeriodSeconds"] == 40
    assert later.body == first.body
    assert now.body["kind"] == "Pod"
    assert (await api("GET", f"{PODS}/web")).code == 404


async def test_a_pod_without_a_node_is_deleted_at_once(api: Api) -> None:
    await api.make(PODS, pod())

    await api("DELETE", f"{PODS}/web")

    assert (await api("GET", f"{PODS}/web")).code == 404


async def test_a_collection_is_deleted_as_selected(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.make(MAPS, {"metadata": {"name": name, "labels": {"keep": str(name == "b").lower()}}})

    answer = await api("DELETE", MAPS, labelSelector="keep=false")

    assert [item["metadata"]["name"] for item in answer.body["items"]] == ["a", "c"]
    assert [item["metadata"]["name"] for item in (await api("GET", MAPS)).body["items"]] == ["b"]


async def test_bad_options_are_invalid(api: Api) -> None:
    answer = await api("POST", MAPS, configmap(), dryRun="Some")

    assert answer.code == 422
    assert answer.body["message"] == (
        'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported values: "All"'
    )
