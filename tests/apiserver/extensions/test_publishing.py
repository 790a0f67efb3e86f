"""Discovery and OpenAPI of custom resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kplane.api.scheme import ResourceInfo, Scheme, builtin
from kplane.apiserver.extensions.rows import all_rows
from kplane.apiserver.openapi import OpenApi
from kplane.testing.waiting import eventually

from ..conftest import Api
from .conftest import CRDS, crd, version

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V3 = "/openapi/v3/apis/example.com/v1"
Define = Callable[..., Any]
SUBRESOURCES = {
    "status": {},
    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
}


def rows(**more: Any) -> list[ResourceInfo]:
    definition = crd(**more)
    names = {"singular": "widget", "listKind": "WidgetList"} | definition["spec"]["names"]
    return list(all_rows(definition | {"status": {"acceptedNames": names}}).served)


def described(spec: dict[str, Any], *, v2: bool) -> Any:
    """The published schema of `spec`."""
    scheme = Scheme()
    for row in rows(versions=[version(spec=spec)]):
        scheme.add(row)
    documents = OpenApi(scheme)
    if v2:
        schemas = msgspec.json.decode(documents.v2().body)["definitions"]
    else:
        made = documents.v3("example.com", "v1")
        assert made is not None
        schemas = msgspec.json.decode(made.body)["components"]["schemas"]
    return schemas["com.example.v1.Widget"]["properties"]["spec"]


async def test_discovery_in_all_its_forms(api: Api, define: Define) -> None:
    versions = [
        version("v1beta1", storage=False),
        version("v1", subresources=SUBRESOURCES),
        version("v2alpha1", storage=False),
    ]
    await define(versions=versions, names={"shortNames": ["wd"], "categories": ["all"]})

    groups = (await api("GET", "/apis")).body["groups"]
    group = (await api("GET", "/apis/example.com")).body
    resources = (await api("GET", "/apis/example.com/v1")).body["resources"]
    aggregated = (await api("GET", "/apis", accept=AGGREGATED)).body["items"]

    assert groups[-1]["name"] == "example.com"
    assert [entry["version"] for entry in group["versions"]] == ["v1", "v1beta1", "v2alpha1"]
    assert group["preferredVersion"]["version"] == "v1"
    assert [entry["name"] for entry in resources] == ["widgets", "widgets/status", "widgets/scale"]
    assert (resources[0]["shortNames"], resources[0]["categories"]) == (["wd"], ["all"])
    assert resources[0]["storageVersionHash"]
    assert (resources[2]["group"], resources[2]["version"], resources[2]["kind"]) == (
        "autoscaling",
        "v1",
        "Scale",
    )
    assert aggregated[-1]["metadata"]["name"] == "example.com"
    assert aggregated[-1]["versions"][0]["resources"][0]["shortNames"] == ["wd"]


async def test_removal_leaves_discovery(api: Api, define: Define) -> None:
    await define()
    await api("GET", "/apis")
    await api("DELETE", f"{CRDS}/widgets.example.com")

    async def missing() -> bool:
        return (await api("GET", "/apis/example.com")).code == 404

    await eventually(missing)
    assert (await api("GET", V3)).code == 404
    assert "apis/example.com/v1" not in (await api("GET", "/openapi/v3")).body["paths"]


async def test_openapi_v3_describes_the_resource(api: Api, define: Define) -> None:
    index = (await api("GET", "/openapi/v3")).body["paths"]
    await define(versions=[version(subresources=SUBRESOURCES)])

    document = (await api("GET", V3)).body
    after = (await api("GET", "/openapi/v3")).body["paths"]

    schema = document["components"]["schemas"]["com.example.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "version": "v1", "kind": "Widget"}
    ]
    assert schema["properties"]["spec"]["properties"]["color"]["enum"] == ["red", "green", "blue"]
    assert schema["properties"]["metadata"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    ]
    items = "/apis/example.com/v1/namespaces/{namespace}/widgets"
    assert {path for path in document["paths"] if "{name}" in path} == {
        f"{items}/{{name}}", f"{items}/{{name}}/status", f"{items}/{{name}}/scale",
    }  # fmt: skip
    patch = document["paths"][f"{items}/{{name}}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Widget"
    assert "com.example.v1.WidgetList" in document["components"]["schemas"]
    assert {path: after[path] for path in index} == index
    assert set(after) - set(index) == {"apis/example.com/v1"}


async def test_openapi_v2_has_it_too_and_the_hash_changes(api: Api, define: Define) -> None:
    before = await api("GET", "/openapi/v2")
    await define()

    after = await api("GET", "/openapi/v2")

    assert after.headers["etag"] != before.headers["etag"]
    schema = after.body["definitions"]["com.example.v1.Widget"]
    assert schema["properties"]["spec"]["properties"]["replicas"]["default"] == 1
    assert "/apis/example.com/v1/widgets" in after.body["paths"]


@pytest.mark.parametrize(
    ("source", "v2", "v3"),
    [
        pytest.param(
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"a": {"type": "string"}},
            },
            {"x-kubernetes-preserve-unknown-fields": True},
            {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"a": {"type": "string"}},
            },
            id="preserve",
        ),
        pytest.param(
            {"x-kubernetes-int-or-string": True},
            {"x-kubernetes-int-or-string": True},
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            id="int-or-string",
        ),
        pytest.param(
            {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}},
            {},
            {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}},
            id="nullable",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string"}, "nullable": True}, {}, None, id="nullable-list"
        ),
        pytest.param(
            {
                "type": "object",
                "required": ["a", "b"],
                "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}},
            None,
            id="quantifiers",
        ),
    ],
)
def test_v2_says_less_than_v3(source: dict[str, Any], v2: dict[str, Any], v3: dict[str, Any] | None) -> None:
    assert described(source, v2=True) == v2
    assert described(source, v2=False) == (source if v3 is None else v3)


def test_embedded_resources_have_their_fields() -> None:
    schema = described({"type": "object", "x-kubernetes-embedded-resource": True}, v2=False)

    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata"}
    assert schema["required"] == ["kind", "apiVersion"]


def test_a_change_of_one_group_keeps_the_documents_of_others() -> None:
    scheme = builtin()
    documents = OpenApi(scheme)
    documents.v3_index()
    apps = documents.v3("apps", "v1")

    for row in rows():
        scheme.add(row)

    assert documents.v3("apps", "v1") is apps
    assert documents.v3("example.com", "v1") is not None
