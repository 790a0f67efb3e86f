"""OpenAPI documents: paths and operations, references, and custom resources."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from kplane.api.scheme import CustomVersion, ResourceInfo, builtin
from kplane.api.structural import compile
from kplane.apiserver.openapi import OpenApi

WIDGET = ResourceInfo(
    "example.com", "v1", "widgets", "widget", "Widget", True, "com.example.v1.Widget", list_kind="WidgetList"
)
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


@pytest.fixture(scope="module")
def openapi() -> OpenApi:
    return OpenApi(builtin())


@pytest.fixture(scope="module")
def v2(openapi: OpenApi) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(openapi.v2().body)
    return decoded


def v3(openapi: OpenApi, group: str, version: str) -> dict[str, Any]:
    made = openapi.v3(group, version)
    assert made is not None
    decoded: dict[str, Any] = msgspec.json.decode(made.body)
    return decoded


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [path[method] for path in document["paths"].values() for method in METHODS if method in path]


@pytest.mark.parametrize(
    ("path", "method", "name", "action"),
    [
        ("/api/v1/namespaces/{namespace}/pods", "get", "listCoreV1NamespacedPod", "list"),
        (
            "/api/v1/namespaces/{namespace}/pods",
            "delete",
            "deleteCoreV1CollectionNamespacedPod",
            "deletecollection",
        ),
        ("/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "list"),
        ("/api/v1/nodes/{name}", "patch", "patchCoreV1Node", "patch"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/status",
            "put",
            "replaceCoreV1NamespacedPodStatus",
            "put",
        ),
        ("/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "readCoreV1NamespacedPodLog", "get"),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/exec",
            "post",
            "connectCoreV1PostNamespacedPodExec",
            "connect",
        ),
        (
            "/api/v1/namespaces/{namespace}/pods/{name}/eviction",
            "post",
            "createCoreV1NamespacedPodEviction",
            "post",
        ),
        ("/api/v1/watch/namespaces/{namespace}/pods", "get", "watchCoreV1NamespacedPodList", "watchlist"),
        (
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "get",
            "readAppsV1NamespacedDeploymentScale",
            "get",
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "post",
            "createRbacAuthorizationV1ClusterRole",
            "post",
        ),
        (
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "post",
            "createAuthorizationV1SelfSubjectAccessReview",
            "post",
        ),
    ],
    ids=lambda value: value if value[0] != "/" else "",
)
def test_operations_have_upstreams_names(
    v2: dict[str, Any], path: str, method: str, name: str, action: str
) -> None:
    operation = v2["paths"][path][method]

    assert (operation["operationId"], operation["x-kubernetes-action"]) == (name, action)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/version/", "getCodeVersion"),
        ("/api/", "getCoreAPIVersions"),
        ("/api/v1/", "getCoreV1APIResources"),
        ("/apis/", "getAPIVersions"),
        ("/apis/apps/", "getAppsAPIGroup"),
        ("/apis/apps/v1/", "getAppsV1APIResources"),
    ],
)
def test_discovery_is_described_as_well(v2: dict[str, Any], path: str, name: str) -> None:
    assert v2["paths"][path]["get"]["operationId"] == name


def test_names_of_operations_are_unique(v2: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(v2)]

    assert len(names) == len(set(names))


def test_a_scale_belongs_to_its_own_group(v2: dict[str, Any]) -> None:
    scale = v2["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]

    assert scale["x-kubernetes-group-version-kind"] == {
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
    }
    assert scale["responses"]["200"]["schema"] == {"$ref": "#/definitions/io.k8s.api.autoscaling.v1.Scale"}


@pytest.mark.parametrize("parameter", ["dryRun", "fieldValidation", "fieldManager", "force"])
def test_patches_name_their_parameters(v2: dict[str, Any], openapi: OpenApi, parameter: str) -> None:
    path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    for document in (v2, v3(openapi, "apps", "v1")):
        assert parameter in {entry["name"] for entry in document["paths"][path]["patch"]["parameters"]}


def test_parameters_in_paths_are_declared(v2: dict[str, Any]) -> None:
    for path, item in v2["paths"].items():
        declared = {entry["name"] for entry in item.get("parameters", ()) if entry["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path))


@pytest.mark.slow
def test_references_lead_somewhere(v2: dict[str, Any], openapi: OpenApi) -> None:
    texts = [(msgspec.json.encode(v2).decode(), "#/definitions/", v2["definitions"])]
    for group, version in builtin().group_versions():
        document = v3(openapi, group, version)
        text = msgspec.json.encode(document).decode()
        texts.append((text, "#/components/schemas/", document["components"]["schemas"]))
    for text, prefix, known in texts:
        assert set(re.findall(r'"\$ref":"([^"]+)"', text)) <= {f"{prefix}{name}" for name in known}


def test_v3_says_what_either_type_may_be(openapi: OpenApi) -> None:
    schemas = v3(openapi, "", "v1")["components"]["schemas"]
    either = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["oneOf"]

    assert [entry["type"] for entry in either] == ["integer", "string"]


@pytest.mark.slow
def test_the_index_changes_its_addresses_with_the_content() -> None:
    scheme = builtin()
    openapi = OpenApi(scheme)
    before = msgspec.json.decode(openapi.v3_index().body)["paths"]
    source = {"type": "object"}
    schema = compile(source)
    custom = CustomVersion(schema, source, {"v1": schema}, "v1", {"strategy": "None"})

    scheme.add(replace(WIDGET, custom=custom))
    after = msgspec.json.decode(openapi.v3_index().body)["paths"]

    assert after["apis/apps/v1"] == before["apis/apps/v1"]
    assert after["apis/example.com/v1"]["serverRelativeURL"].startswith(
        "/openapi/v3/apis/example.com/v1?hash="
    )
    assert "/apis/example.com/v1/namespaces/{namespace}/widgets" in v3(openapi, "example.com", "v1")["paths"]
    assert "com.example.v1.Widget" in msgspec.json.decode(openapi.v2().body)["definitions"]


def test_unknown_versions_have_no_document(openapi: OpenApi) -> None:
    assert openapi.v3("apps", "v1beta1") is None


def test_documents_are_made_once(openapi: OpenApi) -> None:
    assert openapi.v2() is openapi.v2()
    assert openapi.v3("", "v1") is openapi.v3("", "v1")
    assert openapi.v2_protobuf() is openapi.v2_protobuf()
