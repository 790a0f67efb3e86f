"""Discovery documents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from kplane.api.scheme import ResourceInfo, Scheme, builtin
from kplane.apiserver.discovery import (
    Discovery,
    aggregated,
    api_versions,
    group,
    group_list,
    resource_list,
    version_info,
)

WIDGET = ResourceInfo("example.com", "v1", "widgets", "widget", "Widget", True, "com.example.v1.Widget")


@pytest.fixture
def scheme() -> Scheme:
    return builtin()


def entry_of(scheme: Scheme, group: str, version: str, name: str) -> dict[str, Any]:
    body = resource_list(scheme, group, version)
    assert body is not None
    found: dict[str, Any] = next(entry for entry in body["resources"] if entry["name"] == name)
    return found


def test_the_legacy_group(scheme: Scheme) -> None:
    assert api_versions(scheme, "10.0.0.1:6443") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}],
    }


def test_groups_name_their_versions(scheme: Scheme) -> None:
    v1 = {"groupVersion": "autoscaling/v1", "version": "v1"}
    v2 = {"groupVersion": "autoscaling/v2", "version": "v2"}
    expected = {"name": "autoscaling", "versions": [v2, v1], "preferredVersion": v2}

    assert group(scheme, "autoscaling") == {"kind": "APIGroup", "apiVersion": "v1", **expected}
    assert expected in group_list(scheme)["groups"]
    assert "" not in {entry["name"] for entry in group_list(scheme)["groups"]}


def test_a_resource_is_told_with_its_subresources(scheme: Scheme) -> None:
    assert entry_of(scheme, "", "v1", "pods") == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert entry_of(scheme, "", "v1", "pods/eviction") == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }


@pytest.mark.parametrize(
    ("group", "version", "plural", "expected"),
    [
        ("", "v1", "events", "r2yiGXH7wu8="),
        ("events.k8s.io", "v1", "events", "r2yiGXH7wu8="),
        ("networking.k8s.io", "v1", "ingresses", "39NQlfNR+bo="),
        ("storage.k8s.io", "v1", "csinodes", "Pe62DkZtjuo="),
    ],
)
def test_storage_version_hashes_are_upstreams(
    scheme: Scheme, group: str, version: str, plural: str, expected: str
) -> None:
    assert entry_of(scheme, group, version, plural)["storageVersionHash"] == expected


def test_what_is_not_stored_has_no_storage_version(scheme: Scheme) -> None:
    assert "storageVersionHash" not in entry_of(scheme, "authorization.k8s.io", "v1", "subjectaccessreviews")


def test_unknown_groups_and_versions(scheme: Scheme) -> None:
    assert group(scheme, "example.com") is None
    assert resource_list(scheme, "apps", "v1beta1") is None


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_discovery_tells_everything_at_once(scheme: Scheme, version: str) -> None:
    legacy = aggregated(scheme, legacy=True, version=version)
    others = aggregated(scheme, legacy=False, version=version)

    assert legacy["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert [item["metadata"] for item in legacy["items"]] == [{}]
    deployments = next(
        resource
        for item in others["items"]
        for served in item["versions"]
        for resource in served["resources"]
        if resource["resource"] == "deployments"
    )
    assert deployments == {
        "resource": "deployments",
        "responseKind": {"group": "", "version": "", "kind": "Deployment"},
        "scope": "Namespaced",
        "singularResource": "deployment",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["deploy"],
        "categories": ["all"],
        "subresources": [
            {
                "subresource": "scale",
                "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                "verbs": ["get", "patch", "update"],
            },
            {
                "subresource": "status",
                "responseKind": {"group": "", "version": "", "kind": "Deployment"},
                "verbs": ["get", "patch", "update"],
            },
        ],
    }


def test_both_forms_tell_the_same_resources(scheme: Scheme) -> None:
    plain = {
        (group, version, entry["name"])
        for group, version in scheme.group_versions()
        for entry in (resource_list(scheme, group, version) or {})["resources"]
    }
    told = {
        (item["metadata"].get("name", ""), served["version"], name)
        for legacy in (True, False)
        for item in aggregated(scheme, legacy=legacy)["items"]
        for served in item["versions"]
        for resource in served["resources"]
        for name in [
            resource["resource"],
            *(f"{resource['resource']}/{sub['subresource']}" for sub in resource.get("subresources", ())),
        ]
    }

    assert told == plain


def test_documents_are_encoded_once_until_the_scheme_changes(scheme: Scheme) -> None:
    discovery = Discovery(scheme, "127.0.0.1:6443")
    first = discovery.aggregated(legacy=False)

    assert discovery.aggregated(legacy=False) is first
    assert discovery.group("example.com") is None

    scheme.add(WIDGET)
    second = discovery.aggregated(legacy=False)

    assert first is not None
    assert second is not None
    assert second.etag != first.etag
    found = discovery.resources("example.com", "v1")
    assert found is not None
    assert msgspec.json.decode(found.body)["resources"][0]["kind"] == "Widget"


def test_the_version_is_that_of_the_api() -> None:
    info = version_info()

    assert (info["major"], info["minor"]) == ("1", "37")
    assert info["gitVersion"].startswith("v1.37.0")
