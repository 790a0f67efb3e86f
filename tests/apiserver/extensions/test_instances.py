"""Custom resources through HTTP: every verb, as for built-in ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import Api
from .conftest import WIDGETS, version, widget

ONE = f"{WIDGETS}/one"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
Define = Callable[..., Any]
WITH_STATUS = [version(subresources={"status": {}})]
SCALABLE = [
    version(
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        }
    )
]


async def test_an_instance_is_defaulted_and_stored(api: Api, define: Define) -> None:
    await define()

    made = await api.make(WIDGETS, widget(color="blue"))

    assert made["spec"] == {"color": "blue", "replicas": 1}
    assert made["metadata"]["generation"] == 1
    fields = made["metadata"]["managedFields"][0]["fieldsV1"]
    assert fields == {"f:spec": {".": {}, "f:color": {}, "f:replicas": {}}}
    assert (await api("GET", ONE)).body == made


async def test_items_of_lists_carry_their_kind(api: Api, define: Define) -> None:
    await define()
    made = await api.make(WIDGETS, widget())

    listed = (await api("GET", WIDGETS)).body
    pretty = (await api("GET", WIDGETS, pretty="true")).body

    assert listed["kind"] == "WidgetList"
    assert listed["items"] == pretty["items"] == [made]


async def test_lists_come_in_chunks_and_by_label(api: Api, define: Define) -> None:
    await define()
    for name in ("a", "b", "c"):
        body = widget(name)
        body["metadata"]["labels"] = {"name": name}
        await api.make(WIDGETS, body)

    first = (await api("GET", WIDGETS, limit="2")).body
    second = (await api("GET", WIDGETS, **{"limit": "2", "continue": first["metadata"]["continue"]})).body
    chosen = (await api("GET", WIDGETS, labelSelector="name in (b)")).body

    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["b"]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"color": "mauve"},
            "spec.color",
            'Unsupported value: "mauve": supported values: "red", "green", "blue"',
        ),
        ({"replicas": -1}, "spec.replicas", "spec.replicas in body should be greater than or equal to 0"),
        ({"replicas": "two"}, "spec.replicas", 'must be of type integer: "string"'),
        ({"parts": [{"size": 1}]}, "spec.parts[0].name", "Required value"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "Duplicate value"),
        ({"tags": ["a", "a"]}, "spec.tags[1]", 'Duplicate value: "a"'),
    ],
)
async def test_the_schema_is_enforced(
    api: Api, define: Define, spec: dict[str, Any], field: str, message: str
) -> None:
    await define()

    answer = await api("POST", WIDGETS, widget(**spec))

    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"].startswith('Widget.example.com "one" is invalid: ')
    [cause] = answer.body["details"]["causes"]
    assert cause["field"] == field
    assert message in cause["message"]


async def test_unknown_fields_are_pruned_warned_of_or_refused(api: Api, define: Define) -> None:
    await define()
    body = widget(color="red", shape="round", anything={"deep": {"er": 1}})
    body["metadata"]["owner"] = "me"

    ignored = await api("POST", WIDGETS, body, fieldValidation="Ignore", dryRun="All")
    warned = await api("POST", WIDGETS, body, fieldValidation="Warn", dryRun="All")
    refused = await api("POST", WIDGETS, body, fieldValidation="Strict")

    assert ignored.body["spec"] == {"color": "red", "replicas": 1, "anything": {"deep": {"er": 1}}}
    assert "warning" not in ignored.headers
    unknown = [f'299 - "unknown field \\"{name}\\""' for name in ("metadata.owner", "spec.shape")]
    assert warned.headers["warning"] == ", ".join(unknown)
    assert refused.code == 400
    assert refused.body["message"] == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field '
        '"metadata.owner", unknown field "spec.shape"'
    )


async def test_metadata_must_be_well_typed(api: Api, define: Define) -> None:
    await define()
    body = widget()
    body["metadata"]["labels"] = {"a": 1}

    answer = await api("POST", WIDGETS, body)

    assert (answer.code, answer.body["reason"]) == (400, "BadRequest")


async def test_another_kind_is_refused(api: Api, define: Define) -> None:
    await define()

    kind = await api("POST", WIDGETS, widget() | {"kind": "Gadget"})
    api_version = await api("POST", WIDGETS, widget(api_version="example.com/v9"))

    assert (kind.code, api_version.code) == (400, 400)
    assert api_version.body["message"] == (
        "the API version in the data (example.com/v9) does not match the expected API version"
        " (example.com/v1)"
    )


async def test_generation_counts_changes_of_everything_but_metadata(api: Api, define: Define) -> None:
    await define()
    made = await api.make(WIDGETS, widget() | {"status": {"phase": "New"}})
    assert made["status"] == {"phase": "New"}

    labelled = await api("PATCH", ONE, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    changed = await api("PATCH", ONE, {"status": {"phase": "Old"}}, content_type=MERGE)

    assert labelled.body["metadata"]["generation"] == 1
    assert (changed.body["metadata"]["generation"], changed.body["status"]) == (2, {"phase": "Old"})


async def test_the_status_subresource_owns_the_status(api: Api, define: Define) -> None:
    await define(versions=WITH_STATUS)
    made = await api.make(WIDGETS, widget() | {"status": {"phase": "New"}})
    assert "status" not in made

    ignored = await api("PATCH", ONE, {"status": {"phase": "Old"}}, content_type=MERGE)
    patch = {"status": {"phase": "Up"}, "spec": {"color": "blue"}, "metadata": {"labels": {"a": "b"}}}
    written = await api("PATCH", f"{ONE}/status", patch, content_type=MERGE)

    assert "status" not in ignored.body
    assert written.body["status"] == {"phase": "Up"}
    assert written.body["spec"]["color"] == "red"
    assert "labels" not in written.body["metadata"]
    assert written.body["metadata"]["generation"] == 1
    assert (await api("GET", f"{ONE}/status")).body == written.body


async def test_without_the_subresource_there_is_no_status_endpoint(api: Api, define: Define) -> None:
    await define()
    await api.make(WIDGETS, widget())

    assert (await api("GET", f"{ONE}/status")).code == 404
    assert (await api("GET", f"{ONE}/scale")).code == 404


async def test_scale_reads_and_writes_the_named_fields(api: Api, define: Define) -> None:
    await define(versions=SCALABLE)
    await api.make(WIDGETS, widget(replicas=3))
    status = {"status": {"replicas": 2, "selector": "a=b"}}
    await api("PATCH", f"{ONE}/status", status, content_type=MERGE)

    read = (await api("GET", f"{ONE}/scale")).body
    patched = await api("PATCH", f"{ONE}/scale", {"spec": {"replicas": 5}}, content_type=MERGE)
    put = await api("PUT", f"{ONE}/scale", patched.body | {"spec": {"replicas": 7}})
    stale = await api("PUT", f"{ONE}/scale", read)
    negative = await api("PATCH", f"{ONE}/scale", {"spec": {"replicas": -1}}, content_type=MERGE)
    strategic = await api("PATCH", f"{ONE}/scale", {}, content_type="application/strategic-merge-patch+json")

    assert (read["kind"], read["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (read["spec"], read["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    assert patched.body["spec"] == {"replicas": 5}
    assert (put.code, stale.code, negative.code, strategic.code) == (200, 409, 422, 415)
    assert (await api("GET", ONE)).body["spec"]["replicas"] == 7


async def test_a_scale_without_its_field_is_an_error(api: Api, define: Define) -> None:
    spec = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    [wanted] = SCALABLE
    await define(versions=[version(spec=spec, subresources=wanted["subresources"])])
    await api.make(WIDGETS, widget() | {"spec": {}})

    answer = await api("GET", f"{ONE}/scale")

    assert answer.code == 500
    assert 'the spec replicas field ".spec.replicas" does not exist' in answer.body["message"]


async def test_patches(api: Api, define: Define) -> None:
    await define()
    await api.make(WIDGETS, widget(tags=["a", "b"]))

    merged = await api("PATCH", ONE, {"spec": {"tags": ["c"], "color": None}}, content_type=MERGE)
    patch = [{"op": "add", "path": "/spec/tags/-", "value": "d"}]
    patched = await api("PATCH", ONE, patch, content_type=JSON)
    strategic = await api("PATCH", ONE, {}, content_type="application/strategic-merge-patch+json")
    strict = await api("PATCH", ONE, {"spec": {"x": 1}}, content_type=MERGE, fieldValidation="Strict")

    assert merged.body["spec"] == {"tags": ["c"], "replicas": 1}
    assert patched.body["spec"]["tags"] == ["c", "d"]
    assert strategic.code == 415
    assert strategic.body["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )
    assert strict.code == 400


async def test_apply_merges_lists_by_their_types(api: Api, define: Define) -> None:
    await define()
    one = widget(parts=[{"name": "a", "size": 1}], tags=["x"])
    two = widget(parts=[{"name": "b"}], tags=["y"])

    made = await api("PATCH", ONE, one, content_type=APPLY, fieldManager="one")
    both = await api("PATCH", ONE, two, content_type=APPLY, fieldManager="two")
    clash = widget(parts=[{"name": "a", "size": 2}])
    conflict = await api("PATCH", ONE, clash, content_type=APPLY, fieldManager="two")
    dropped = await api("PATCH", ONE, widget(color="red"), content_type=APPLY, fieldManager="one")

    assert (made.code, both.code) == (201, 200)
    assert both.body["spec"]["parts"] == [{"name": "a", "size": 1}, {"name": "b"}]
    assert both.body["spec"]["tags"] == ["x", "y"]
    assert (conflict.code, conflict.body["details"]["causes"][0]["field"]) == (
        409,
        '.spec.parts[name="a"].size',
    )
    assert dropped.body["spec"]["parts"] == [{"name": "b"}]
    assert dropped.body["spec"]["tags"] == ["y"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"nothing": 1}, ".spec.nothing: field not declared in schema"),
        ({"parts": "a"}, ".spec.parts: expected list"),
        ({"parts": [1]}, ".spec.parts[0]: expected map"),
    ],
)
async def test_apply_refuses_what_the_schema_cannot_merge(
    api: Api, define: Define, spec: dict[str, Any], message: str
) -> None:
    await define()

    answer = await api("PATCH", ONE, widget(**spec), content_type=APPLY, fieldManager="one")

    assert answer.code == 400
    assert message in answer.body["message"]


async def test_put_cannot_create(api: Api, define: Define) -> None:
    await define()

    assert (await api("PUT", ONE, widget())).code == 404


async def test_deletecollection_and_delete(api: Api, define: Define) -> None:
    await define()
    for name in ("a", "b", "one"):
        await api.make(WIDGETS, widget(name))

    single = await api("DELETE", ONE)
    answer = await api("DELETE", WIDGETS)

    assert (single.code, single.body["status"], single.body["details"]["kind"]) == (200, "Success", "widgets")
    assert answer.code == 200
    assert (await api("GET", WIDGETS)).body["items"] == []


async def test_selectable_fields_choose_in_lists_and_watches(api: Api, define: Define) -> None:
    fields = [{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.replicas"}]
    await define(versions=[version(selectableFields=fields)])
    await api.make(WIDGETS, widget("one", color="red", replicas=2))
    await api.make(WIDGETS, widget("two", color="blue", replicas=2))

    listed = (await api("GET", WIDGETS, fieldSelector="spec.color=blue,spec.replicas=2")).body
    unequal = (await api("GET", WIDGETS, fieldSelector="spec.color!=blue")).body
    [event] = await api.events(WIDGETS, 1, fieldSelector="spec.color=blue")
    unknown = await api("GET", WIDGETS, fieldSelector="spec.shape=round")

    assert [item["metadata"]["name"] for item in listed["items"]] == ["two"]
    assert [item["metadata"]["name"] for item in unequal["items"]] == ["one"]
    assert event["object"]["metadata"]["name"] == "two"
    assert (unknown.code, unknown.body["message"]) == (400, "field label not supported: spec.shape")


async def test_embedded_resources_keep_and_validate_their_metadata(api: Api, define: Define) -> None:
    embedded = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    await define(versions=[version(spec={"type": "object", "properties": {"template": embedded}})])
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}}

    good = await api("POST", WIDGETS, widget(template=template))
    bad = await api("POST", WIDGETS, widget("two", template={"kind": "Pod", "metadata": {"name": "x"}}))

    assert good.body["spec"]["template"] == template
    assert bad.body["details"]["causes"][0]["field"] == "spec.template.apiVersion"


async def test_finalizers_owners_and_dry_run(api: Api, define: Define) -> None:
    await define()
    owner = await api.make(WIDGETS, widget("owner"))
    body = widget()
    reference = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "owner"}
    body["metadata"]["ownerReferences"] = [reference | {"uid": owner["metadata"]["uid"]}]
    body["metadata"]["finalizers"] = ["example.com/hold"]
    dry = await api("POST", WIDGETS, body, dryRun="All")
    assert (dry.code, (await api("GET", ONE)).code) == (201, 404)
    await api.make(WIDGETS, body)

    marked = await api("DELETE", ONE)
    await api("PATCH", ONE, {"metadata": {"finalizers": []}}, content_type=MERGE)

    assert marked.body["metadata"]["deletionTimestamp"]
    assert marked.body["metadata"]["generation"] == 2
    assert (await api("GET", ONE)).code == 404


async def test_unchanged_faults_are_tolerated_in_updates(api: Api, define: Define) -> None:
    body = await define()
    await api.make(WIDGETS, widget(color="red"))
    narrowed = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    narrowed["properties"]["color"]["enum"] = ["green"]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    assert (await api("PUT", path, body)).code == 200
    await api.events(WIDGETS, 1)

    label = await api("PATCH", ONE, {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
    change = await api("PATCH", ONE, {"spec": {"color": "blue"}}, content_type=MERGE)

    assert label.code == 200
    assert change.code == 422


async def test_cluster_scope(api: Api, define: Define) -> None:
    await define(scope="Cluster")

    made = await api.make("/apis/example.com/v1/widgets", widget())

    assert "namespace" not in made["metadata"]
    assert (await api("GET", ONE)).code == 404


async def test_a_missing_namespace_refuses(api: Api, define: Define) -> None:
    await define()

    answer = await api("POST", WIDGETS.replace("default", "nowhere"), widget())

    assert (answer.code, answer.body["message"]) == (404, 'namespaces "nowhere" not found')


async def test_deprecated_versions_warn(api: Api, define: Define) -> None:
    versions = [
        version("v1"),
        version("v1beta1", storage=False, deprecated=True),
        version("v1alpha1", storage=False, deprecated=True, deprecationWarning="do not"),
    ]
    await define(versions=versions)

    beta = await api("GET", "/apis/example.com/v1beta1/widgets")
    alpha = await api("GET", "/apis/example.com/v1alpha1/widgets")

    text = "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"
    assert beta.headers["warning"] == f'299 - "{text}"'
    assert alpha.headers["warning"] == '299 - "do not"'


async def test_rules_of_the_schema_see_the_old_value(api: Api, define: Define) -> None:
    rule = {"rule": "self.replicas >= oldSelf.replicas", "message": "may only grow"}
    spec = {
        "type": "object",
        "properties": {"replicas": {"type": "integer"}},
        "x-kubernetes-validations": [rule],
    }
    await define(versions=[version(spec=spec)])
    await api.make(WIDGETS, widget(replicas=3))

    grown = await api("PATCH", ONE, {"spec": {"replicas": 4}}, content_type=MERGE)
    shrunk = await api("PATCH", ONE, {"spec": {"replicas": 2}}, content_type=MERGE)

    assert grown.code == 200
    assert shrunk.code == 422
    assert "spec: Invalid value: " in shrunk.body["message"]
    assert shrunk.body["message"].endswith("may only grow")
