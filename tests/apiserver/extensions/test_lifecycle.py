"""What happens to a definition: names, conditions, serving, removal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.testing.waiting import eventually

from ..conftest import Api
from .conftest import CRDS, WIDGETS, condition, crd, established, version, widget

NAME = "widgets.example.com"
ACCEPTED = ("True", "NoConflicts", "no conflicts found")
ESTABLISHED = ("True", "InitialNamesAccepted", "the initial names have been accepted")


async def gone(api: Api, path: str) -> None:
    async def missing() -> bool:
        return (await api("GET", path)).code == 404

    await eventually(missing)


async def test_a_definition_is_defaulted_accepted_and_established(define: Callable[..., Any]) -> None:
    body = await define(names={"shortNames": ["wd"], "categories": ["all"]})

    assert body["spec"]["names"] | {"singular": "widget", "listKind": "WidgetList"} == body["spec"]["names"]
    assert body["spec"]["conversion"] == {"strategy": "None"}
    assert body["status"]["acceptedNames"] == body["spec"]["names"]
    assert body["status"]["storedVersions"] == ["v1"]
    assert condition(body, "NamesAccepted") == ACCEPTED
    assert condition(body, "Established") == ESTABLISHED


async def test_what_creation_answers_has_an_empty_status(api: Api) -> None:
    body = await api.make(CRDS, crd() | {"status": {"storedVersions": ["other"], "conditions": []}})

    empty = {"plural": "", "kind": ""}
    assert body["status"] == {"conditions": None, "acceptedNames": empty, "storedVersions": ["v1"]}
    assert body["metadata"]["generation"] == 1


async def test_who_sees_established_can_use_the_resource(api: Api) -> None:
    query = {"watch": "true", "fieldSelector": f"metadata.name={NAME}"}
    headers = {"accept": "application/json"}
    async with (
        asyncio.timeout(30),
        api.transport.stream("GET", CRDS, query=query, headers=headers) as stream,
    ):
        await api.make(CRDS, crd())
        async for line in stream.lines():
            if condition(json.loads(line)["object"], "Established")[0] == "True":
                break
        answer = await api("GET", WIDGETS)

    assert (answer.code, answer.body["kind"]) == (200, "WidgetList")


@pytest.mark.parametrize(
    ("names", "reason", "message"),
    [
        pytest.param({"shortNames": ["wd"]}, "ShortNamesConflict", '"wd" is already in use', id="short"),
        pytest.param({"singular": "widget"}, "SingularConflict", '"widget" is already in use', id="singular"),
        pytest.param(
            {"kind": "Widget", "listKind": "GadgetList"},
            "KindConflict",
            '"Widget" is already in use',
            id="kind",
        ),
        pytest.param(
            {"listKind": "WidgetList"}, "ListKindConflict", '"WidgetList" is already in use', id="list-kind"
        ),
    ],
)
async def test_taken_names_are_not_accepted_until_they_are_free(
    api: Api, define: Callable[..., Any], names: dict[str, Any], reason: str, message: str
) -> None:
    await define(names={"shortNames": ["wd"]})
    await api.make(CRDS, crd(plural="gadgets", kind="Gadget", names=names))

    async def refused() -> Any:
        body = (await api("GET", f"{CRDS}/gadgets.example.com")).body
        return body if condition(body, "NamesAccepted")[0] == "False" else None

    body = await eventually(refused)
    assert condition(body, "NamesAccepted") == ("False", reason, message)
    assert condition(body, "Established") == ("False", "NotAccepted", "not all names are accepted")
    assert (await api("GET", "/apis/example.com/v1/gadgets")).code == 404

    await api("DELETE", f"{CRDS}/{NAME}")
    await established(api, "gadgets.example.com")
    assert (await api("GET", "/apis/example.com/v1/gadgets")).code == 200


async def test_names_of_other_groups_do_not_clash(api: Api, define: Callable[..., Any]) -> None:
    await define()

    other = await define(group="example.org")

    assert condition(other, "NamesAccepted") == ACCEPTED


async def test_deletion_removes_instances_then_the_definition(api: Api, define: Callable[..., Any]) -> None:
    await define()
    await api.make(WIDGETS, widget())
    await api.make("/api/v1/namespaces", {"metadata": {"name": "other"}})
    await api.make(WIDGETS.replace("default", "other"), widget())

    answer = await api("DELETE", f"{CRDS}/{NAME}")

    assert answer.code == 200
    assert answer.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert condition(answer.body, "Terminating") == (
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    )
    await gone(api, f"{CRDS}/{NAME}")
    await gone(api, WIDGETS)
    await define()
    assert (await api("GET", "/apis/example.com/v1/widgets")).body["items"] == []


async def test_a_watch_on_a_removed_resource_ends(api: Api, define: Callable[..., Any]) -> None:
    await define()
    await api.make(WIDGETS, widget())
    headers = {"accept": "application/json"}
    async with (
        asyncio.timeout(30),
        api.transport.stream("GET", WIDGETS, query={"watch": "true"}, headers=headers) as stream,
    ):
        lines = stream.lines()
        first = json.loads(await anext(lines))
        await api("DELETE", f"{CRDS}/{NAME}")
        rest = [json.loads(line) async for line in lines]

    assert first["type"] == "ADDED"
    assert [event["type"] for event in rest] == ["DELETED"]


async def test_an_instance_with_a_finalizer_holds_the_definition(
    api: Api, define: Callable[..., Any]
) -> None:
    await define()
    held = widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.make(WIDGETS, held)
    await api("DELETE", f"{CRDS}/{NAME}")

    async def waiting() -> Any:
        one = (await api("GET", f"{WIDGETS}/one")).body
        body = (await api("GET", f"{CRDS}/{NAME}")).body
        return body if one["metadata"].get("deletionTimestamp") else None

    body = await eventually(waiting)
    created = await api("POST", WIDGETS, widget("two"))
    groups = (await api("GET", "/apis/example.com/v1")).body
    patch = {"metadata": {"finalizers": None}}
    patched = await api("PATCH", f"{WIDGETS}/one", patch, content_type="application/merge-patch+json")

    assert condition(body, "Terminating") == (
        "True",
        "InstanceDeletionInProgress",
        "CustomResource deletion is in progress",
    )
    assert created.code == 405
    assert created.body["message"] == ("create not allowed while custom resource definition is terminating")
    assert groups["resources"][0]["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    assert patched.code == 200
    await gone(api, f"{CRDS}/{NAME}")


async def test_a_definition_that_was_never_established_just_goes(
    api: Api, define: Callable[..., Any]
) -> None:
    await define()
    await api.make(CRDS, crd(plural="gadgets", kind="Widget"))

    await api("DELETE", f"{CRDS}/gadgets.example.com")

    await gone(api, f"{CRDS}/gadgets.example.com")


async def test_a_changed_schema_holds_at_once_and_what_is_stored_is_pruned(
    api: Api, define: Callable[..., Any]
) -> None:
    body = await define()
    await api.make(WIDGETS, widget(color="red", tags=["a"]))
    spec = {"type": "object", "properties": {"color": {"type": "string"}, "size": {"type": "integer"}}}
    body["spec"]["versions"] = [version(spec=spec)]

    assert (await api("PUT", f"{CRDS}/{NAME}", body)).code == 200

    async def pruned() -> bool:
        answer = await api("GET", f"{WIDGETS}/one")
        return answer.code == 200 and answer.body["spec"] == {"color": "red"}

    await eventually(pruned)
    assert (await api("POST", WIDGETS, widget("two", color="mauve", size=3))).code == 201


async def test_an_unserved_version_is_gone_and_comes_back(api: Api, define: Callable[..., Any]) -> None:
    await define(versions=[version(), version("v2", storage=False)])
    path = "/apis/example.com/v2/widgets"
    assert (await api("GET", path)).code == 200

    for served, code in ((False, 404), (True, 200)):
        patch = [{"op": "replace", "path": "/spec/versions/1/served", "value": served}]
        kind = "application/json-patch+json"
        assert (await api("PATCH", f"{CRDS}/{NAME}", patch, content_type=kind)).code == 200

        async def answers(code: int = code) -> bool:
            return (await api("GET", path)).code == code

        await eventually(answers)


async def test_groups_of_the_project_want_an_approval(api: Api) -> None:
    missing = await api("POST", CRDS, crd(group="example.k8s.io"))
    annotation = "api-approved.kubernetes.io"
    wrong = crd(group="example.k8s.io", metadata={"annotations": {annotation: "yes"}})
    invalid = await api("POST", CRDS, wrong)
    url = "https://github.com/kubernetes/kubernetes/pull/1"
    good = crd(group="example.k8s.io", metadata={"annotations": {annotation: url}})
    await api.make(CRDS, good)
    body = await established(api, "widgets.example.k8s.io")

    assert (missing.code, invalid.code) == (422, 422)
    assert missing.body["details"]["causes"][0] == {
        "reason": "FieldValueRequired",
        "field": "metadata.annotations[api-approved.kubernetes.io]",
        "message": "Required value: protected groups must have approval annotation"
        ' "api-approved.kubernetes.io",'
        " see https://github.com/kubernetes/enhancements/pull/1111",
    }
    assert condition(body, "KubernetesAPIApprovalPolicyConformant") == (
        "True",
        "ApprovedAnnotation",
        f"approved in {url}",
    )


async def test_status_drops_stored_versions_and_the_spec_keeps_them(
    api: Api, define: Callable[..., Any]
) -> None:
    await define(versions=[version(), version("v2", storage=False)])
    kind = "application/json-patch+json"
    swap = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    swapped = await api("PATCH", f"{CRDS}/{NAME}", swap, content_type=kind)
    removal = [{"op": "remove", "path": "/spec/versions/0"}]
    refused = await api("PATCH", f"{CRDS}/{NAME}", removal, content_type=kind)
    drop = [{"op": "replace", "path": "/status/storedVersions", "value": ["v2"]}]
    dropped = await api("PATCH", f"{CRDS}/{NAME}/status", drop, content_type=kind)
    removed = await api("PATCH", f"{CRDS}/{NAME}", removal, content_type=kind)

    assert swapped.body["status"]["storedVersions"] == ["v1", "v2"]
    assert refused.code == 422
    assert refused.body["details"]["causes"][0]["field"] == "status.storedVersions[0]"
    assert "v1 was previously a storage version" in refused.body["message"]
    assert dropped.body["status"]["storedVersions"] == ["v2"]
    assert removed.code == 200


async def test_what_others_left_in_the_store_does_no_harm(lasting: ApiServerConfig) -> None:
    good = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "good", "uid": "1"}}
    values: dict[str, Any] = {
        "/registry/apiextensions.k8s.io/customresourcedefinitions/empty": {
            "kind": "CustomResourceDefinition",
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": {"name": "empty"},
        },
        "/registry/example.com/widgets/default/good": good | {"spec": {"color": "red", "foreign": 1}},
        "/registry/example.com/widgets/default/bare": {"kind": "Widget"},
        "/registry/example.com/widgets/default/odd": ["no", "object"],
    }
    assert lasting.storage_dir is not None
    lasting.storage_dir.mkdir()
    store = SQLiteStore(lasting.storage_dir / "store.db", SystemClock())
    await store.open()
    for key, value in values.items():
        await store.put(key, json.dumps(value).encode(), expect=0)
    await store.close()
    async with ApiServer(lasting) as server:
        api = Api(server.app)
        await api.make(CRDS, crd())
        await established(api)

        items = (await api("GET", WIDGETS)).body["items"]

    assert [item["spec"] for item in items] == [{"color": "red", "replicas": 1}]


async def test_a_write_that_changes_nothing_stores_an_object_anew_in_the_storage_version(
    api: Api, define: Callable[..., Any]
) -> None:
    await define(versions=[version(), version("v2", storage=False)])
    await api.make(WIDGETS, widget())
    kind = "application/json-patch+json"
    swap = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    await api("PATCH", f"{CRDS}/{NAME}", swap, content_type=kind)

    async def write() -> Any:
        """What a write of what is there answers."""
        whole = (await api("GET", f"{WIDGETS}/one")).body
        return (await api("PUT", f"{WIDGETS}/one", whole)).body

    async def rewritten() -> Any:
        body = await write()
        return body if body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"] else None

    before = (await api("GET", f"{WIDGETS}/one")).body
    first = await eventually(rewritten)
    second = await write()

    assert first["spec"] == before["spec"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"], (
        "stored in v2 by now"
    )
