"""The scheme: the table of built-in resources, and rows that come and go."""

from __future__ import annotations

import pytest

from kplane.api.conversion import CONVERSIONS
from kplane.api.schema import definitions
from kplane.api.scheme import ResourceInfo, Scheme, builtin
from kplane.api.scheme.scheme import version_rank

WIDGET = ResourceInfo("example.com", "v1", "widgets", "widget", "Widget", True, "com.example.v1.Widget")


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return builtin()


def test_every_row_names_a_definition_of_its_kind(scheme: Scheme) -> None:
    for row in scheme.rows.values():
        kind = {"group": row.group, "version": row.version, "kind": row.kind}
        assert kind in definitions()[row.definition]["x-kubernetes-group-version-kind"]


def test_lists_have_definitions(scheme: Scheme) -> None:
    missing = [
        row.kind
        for row in scheme.rows.values()
        if row.list_kind and f"{row.definition}List" not in definitions()
    ]

    assert missing == []


def test_every_stable_kind_of_the_schema_is_served(scheme: Scheme) -> None:
    served = {row.definition for row in scheme.rows.values()}
    listed = {name for name in definitions() if f"{name}List" in definitions() and ".meta.v1." not in name}
    stable = {name for name in listed if name.split(".")[-2] in ("v1", "v2")}

    assert stable - served == set()


@pytest.mark.parametrize(
    ("group", "version", "plural", "prefix"),
    [
        ("", "v1", "pods", "/registry/pods/"),
        ("", "v1", "nodes", "/registry/minions/"),
        ("", "v1", "services", "/registry/services/specs/"),
        ("", "v1", "endpoints", "/registry/services/endpoints/"),
        ("", "v1", "replicationcontrollers", "/registry/controllers/"),
        ("apps", "v1", "deployments", "/registry/deployments/"),
        ("networking.k8s.io", "v1", "ingresses", "/registry/ingress/"),
        ("apiregistration.k8s.io", "v1", "apiservices", "/registry/apiregistration.k8s.io/apiservices/"),
        ("authorization.k8s.io", "v1", "subjectaccessreviews", ""),
    ],
)
def test_objects_are_stored_where_upstream_stores_them(
    scheme: Scheme, group: str, version: str, plural: str, prefix: str
) -> None:
    row = scheme.by_path(group, version, plural)

    assert row is not None
    assert row.storage_prefix == prefix


def test_custom_resources_are_stored_under_their_group() -> None:
    assert WIDGET.storage_prefix == "/registry/example.com/widgets/"


def test_rows_that_share_a_prefix_agree_on_the_stored_version(scheme: Scheme) -> None:
    stored: dict[str, set[tuple[str, str]]] = {}
    for row in scheme.rows.values():
        if row.storage_prefix:
            stored.setdefault(row.storage_prefix, set()).add(row.storage_group_version)

    assert [prefix for prefix, versions in stored.items() if len(versions) > 1] == []
    assert stored["/registry/events/"] == {("", "v1")}
    assert stored["/registry/horizontalpodautoscalers/"] == {("autoscaling", "v2")}


def test_rows_stored_as_another_version_can_be_converted(scheme: Scheme) -> None:
    converted = {key for key, row in scheme.rows.items() if row.stored_as}

    assert converted == set(CONVERSIONS)


def test_groups_and_versions_come_in_order_of_preference(scheme: Scheme) -> None:
    served = list(scheme.group_versions())

    assert served[0] == ("", "v1")
    assert served.index(("autoscaling", "v2")) < served.index(("autoscaling", "v1"))
    assert served[-1] == ("storagemigration.k8s.io", "v1")


def test_versions_are_ranked_by_stability_and_number() -> None:
    ranked = ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v2alpha1", "dev", "v0"]

    assert sorted(set(ranked), key=version_rank) == ranked


def test_rows_can_be_added_and_removed() -> None:
    scheme = builtin()
    before = scheme.generation

    scheme.add(WIDGET)

    assert scheme.by_kind("example.com", "v1", "Widget") is WIDGET
    assert list(scheme.group_versions())[-1] == ("example.com", "v1")
    assert scheme.generation > before

    scheme.remove(WIDGET)

    assert scheme.by_path("example.com", "v1", "widgets") is None
    assert scheme.by_kind("example.com", "v1", "Widget") is None


def test_schemes_do_not_share_rows() -> None:
    first, second = builtin(), builtin()

    first.add(WIDGET)

    assert second.by_path("example.com", "v1", "widgets") is None
