"""The table of numbers: against what is known of upstream's, and against our schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from kplane.api import schema
from kplane.api.check import check
from kplane.api.protobuf.special import SPECIAL
from kplane.api.protobuf.table import Row, is_known, names, rows
from kplane.api.schema import META
from kplane.api.scheme import builtin

from .support import sample

EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
CORE, APPS = "io.k8s.api.core.v1.", "io.k8s.api.apps.v1."
BODIES = sorted({row.definition for row in builtin().rows.values()} | {
    f"{META}DeleteOptions", "io.k8s.api.policy.v1.Eviction", "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.authentication.v1.TokenRequest",
})  # fmt: skip


def row_of(message: str, name: str) -> Row:
    return next(row for row in rows(message) if row.name == name)


@pytest.mark.parametrize(
    ("message", "field", "number", "of", "shape"),
    [
        (f"{APPS}Deployment", "metadata", 1, f"{META}ObjectMeta", "value"),
        (f"{APPS}Deployment", "spec", 2, f"{APPS}DeploymentSpec", "value"),
        (f"{APPS}DeploymentSpec", "replicas", 1, "int32", "pointer"),
        (f"{CORE}Pod", "spec", 2, f"{CORE}PodSpec", "value"),
        (f"{CORE}PodSpec", "nodeSelector", 7, "string", "map"),
        (f"{CORE}PodSpec", "tolerations", 22, f"{CORE}Toleration", "list"),
        (f"{CORE}Container", "image", 2, "string", "value"),
        (f"{CORE}Container", "ports", 6, f"{CORE}ContainerPort", "list"),
        (f"{CORE}Container", "tty", 18, "bool", "value"),
        (f"{CORE}Secret", "data", 2, "bytes", "map"),
        (f"{CORE}ServicePort", "targetPort", 4, "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "value"),
        (f"{CORE}ResourceRequirements", "limits", 1, "io.k8s.apimachinery.pkg.api.resource.Quantity", "map"),
        (f"{META}ObjectMeta", "resourceVersion", 6, "string", "value"),
        (f"{META}ObjectMeta", "labels", 11, "string", "map"),
        (f"{META}ObjectMeta", "creationTimestamp", 8, f"{META}Time", "value"),
        (f"{META}DeleteOptions", "propagationPolicy", 4, "string", "pointer"),
        (
            f"{EXTENSIONS}CustomResourceDefinitionSpec",
            "names",
            3,
            f"{EXTENSIONS}CustomResourceDefinitionNames",
            "value",
        ),
        (f"{EXTENSIONS}JSONSchemaProps", "maximum", 9, "double", "pointer"),
        (
            f"{EXTENSIONS}JSONSchemaProps",
            "x-kubernetes-validations",
            44,
            f"{EXTENSIONS}ValidationRule",
            "list",
        ),
    ],
)
def test_numbers_are_upstreams(message: str, field: str, number: int, of: str, shape: str) -> None:
    row = row_of(message, field)

    assert (row.number, row.type, row.shape) == (number, of, shape)


def test_embedded_structs_have_numbers_and_no_name() -> None:
    volume = {row.number: row for row in rows(f"{CORE}Volume")}

    assert (volume[2].type, volume[2].shape) == (f"{CORE}VolumeSource", "inline")


def test_named_lists_of_strings_are_messages() -> None:
    extra = row_of("io.k8s.api.authorization.v1.SubjectAccessReviewSpec", "extra")

    assert (extra.shape, extra.type) == ("map", "io.k8s.api.authorization.v1.ExtraValue")
    assert [(row.number, row.name, row.shape) for row in rows(extra.type)] == [(1, "", "list")]


def test_what_json_leaves_out_is_known() -> None:
    assert not row_of(f"{CORE}Container", "name").omitted
    assert row_of(f"{CORE}Container", "image").omitted
    assert not row_of(f"{CORE}Container", "resources").omitted, "Go's omitempty knows no empty struct"
    assert row_of(f"{META}ObjectMeta", "creationTimestamp").omitted


def test_every_message_that_the_table_mentions_is_known() -> None:
    mentioned = {row.type for name in names() for row in rows(name) if "." in row.type}

    assert [name for name in mentioned if not is_known(name) and name not in SPECIAL] == []


def test_numbers_are_unique_in_each_message() -> None:
    assert [name for name in names() if len({row.number for row in rows(name)}) != len(rows(name))] == []


def test_every_property_of_the_schemes_kinds_has_a_number() -> None:
    missing: set[str] = set()
    for name in _reachable(BODIES):
        found = {row.name for row in _flat(name)} if is_known(name) else None
        if found is None:
            missing.add(name)
            continue
        own = (
            {"apiVersion", "kind"} if "x-kubernetes-group-version-kind" in schema.definition(name) else set()
        )
        wanted = schema.definition(name).get("properties", {}).keys() - own
        missing |= {f"{name}.{field}" for field in wanted ^ found}

    assert missing == set()


@pytest.mark.parametrize("name", [name for name in BODIES if is_known(name)])
def test_types_are_those_of_the_schema(name: str) -> None:
    """An object with every field that the table knows is sound."""
    found = check(sample(name), schema.node(name))

    assert (found.errors, found.unknown) == ([], [])


def _flat(message: str) -> Iterator[Row]:
    for row in rows(message):
        if row.shape == "inline":
            yield from _flat(row.type)
        else:
            yield row


def _reachable(roots: list[str]) -> set[str]:
    """The definitions that these, and what they mention, mention, up to unknown and special messages."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or name in SPECIAL:
            continue
        found.add(name)
        if is_known(name):
            text = json.dumps(schema.definition(name).get("properties", {}))
            waiting += re.findall(r"#/definitions/([^\"]+)", text)
    return found
