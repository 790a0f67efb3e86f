"""Schemas: what the data holds, and the nodes that are compiled from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kplane.api.schema import Node, compile_schema, definitions, node

POD = "io.k8s.api.core.v1.Pod"


def find(root: Node, *path: str) -> Node:
    """The node at a path; `[]` stands for the items of a list or map."""
    for name in path:
        found = root.item if name == "[]" else (root.fields or {})[name]
        assert found is not None
        root = found
    return root


def schemas_within(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    nested = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for entry in nested:
        if isinstance(entry, dict):
            yield from schemas_within(entry)


def test_definitions_have_the_form_of_openapi_v2() -> None:
    every = [part for schema in definitions().values() for part in schemas_within(schema)]

    assert len(definitions()) > 800
    assert [part for part in every if isinstance(part.get("type"), list) or "oneOf" in part] == []
    assert [
        part["$ref"] for part in every if not part.get("$ref", "#/definitions/").startswith("#/definitions/")
    ] == []
    assert {part["$ref"].removeprefix("#/definitions/") for part in every if "$ref" in part} <= set(
        definitions()
    )


def test_definitions_are_described() -> None:
    stable = {name: schema for name, schema in definitions().items() if ".v1." in name}
    undescribed = [name for name, schema in stable.items() if not schema.get("description")]

    assert undescribed == []
    assert definitions()[POD]["properties"]["spec"]["description"]


@pytest.mark.parametrize("name", ["apiVersion", "kind"])
def test_names_of_versions_and_kinds_are_not_enumerated(name: str) -> None:
    assert definitions()[POD]["properties"][name].keys() == {"description", "type"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (("metadata", "creationTimestamp"), "date-time"),
        (("metadata", "labels"), "map"),
        (("metadata", "labels", "[]"), "string"),
        (("metadata", "managedFields", "[]", "fieldsV1"), "object"),
        (("spec",), "object"),
        (("spec", "containers"), "list"),
        (("spec", "hostNetwork"), "boolean"),
        (("spec", "priority"), "integer"),
        (("spec", "containers", "[]", "resources", "limits", "[]"), "quantity"),
        (("spec", "containers", "[]", "livenessProbe", "httpGet", "port"), "int-or-string"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else value,
)
def test_kinds_of_nodes(path: tuple[str, ...], kind: str) -> None:
    assert find(node(POD), *path).kind == kind


def test_bytes_are_told_from_strings() -> None:
    assert find(node("io.k8s.api.core.v1.Secret"), "data", "[]").kind == "bytes"


@pytest.mark.parametrize(
    ("path", "strategy", "merge_key", "list_type", "keys"),
    [
        (("spec", "containers"), ("merge",), "name", "map", ("name",)),
        (("spec", "volumes"), ("merge", "retainKeys"), "name", "map", ("name",)),
        (
            ("spec", "containers", "[]", "ports"),
            ("merge",),
            "containerPort",
            "map",
            ("containerPort", "protocol"),
        ),
        (("spec", "containers", "[]", "command"), (), "", "atomic", ()),
        (("spec", "tolerations"), (), "", "atomic", ()),
        (("metadata", "finalizers"), ("merge",), "", "set", ()),
        (("metadata", "ownerReferences"), ("merge",), "uid", "map", ("uid",)),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value),
)
def test_how_lists_are_merged(
    path: tuple[str, ...], strategy: tuple[str, ...], merge_key: str, list_type: str, keys: tuple[str, ...]
) -> None:
    found = find(node(POD), *path)

    assert (found.patch_strategy, found.merge_key) == (strategy, merge_key)
    assert (found.list_type, found.list_map_keys) == (list_type, keys)


def test_a_reference_keeps_what_its_place_says() -> None:
    strategy = find(node("io.k8s.api.apps.v1.Deployment"), "spec", "strategy")

    assert strategy.patch_strategy == ("retainKeys",)
    assert strategy.go_type == "DeploymentStrategy"
    assert set(strategy.fields or {}) == {"type", "rollingUpdate"}
    assert node("io.k8s.api.apps.v1.DeploymentStrategy").patch_strategy == ()


def test_keys_of_associative_lists_have_defaults() -> None:
    assert find(node(POD), "spec", "containers", "[]", "ports", "[]", "protocol").default == "TCP"


def test_enumerations_are_told() -> None:
    assert find(node(POD), "spec", "restartPolicy").enum == {"Always", "Never", "OnFailure"}


def test_recursive_definitions_compile() -> None:
    root = node("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")

    assert find(root, "properties", "[]").fields is root.fields
    assert find(root, "default").kind == "any"


def test_opaque_objects_keep_what_is_not_known() -> None:
    raw = find(node("io.k8s.api.apps.v1.ControllerRevision"), "data")

    assert (raw.kind, raw.preserve_unknown) == ("object", True)
    assert not node(POD).preserve_unknown


def test_every_definition_compiles() -> None:
    assert [name for name in definitions() if not node(name).kind] == []


def test_structural_schemas_of_custom_resources_compile() -> None:
    compiled = compile_schema(
        {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"x-kubernetes-int-or-string": True},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    )

    assert compiled.required == {"size"}
    assert find(compiled, "size").kind == "int-or-string"
    assert find(compiled, "mode").enum == {"a", "b"}
    assert find(compiled, "free").preserve_unknown
