"""Unspecified fields go; what a schema says is kept stays."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.structural import compile

STRING = {"type": "string"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def preserving(**properties: Any) -> dict[str, Any]:
    return {**obj(**properties), "x-kubernetes-preserve-unknown-fields": True}


def spec_of(schema: dict[str, Any]) -> Any:
    return compile(obj(spec=schema))


@pytest.mark.parametrize(
    ("schema", "value", "kept", "dropped"),
    [
        pytest.param(obj(a=STRING), {"a": "", "b": 1}, {"a": ""}, ["spec.b"], id="field"),
        pytest.param(obj(a=obj()), {"a": {"b": {"c": 1}}}, {"a": {}}, ["spec.a.b"], id="whole subtree once"),
        pytest.param(
            {"type": "array", "items": obj(a=STRING)},
            [{"a": ""}, {"b": 1}],
            [{"a": ""}, {}],
            ["spec[1].b"],
            id="list item",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": obj(a=STRING)},
            {"x": {"a": "", "b": 1}},
            {"x": {"a": ""}},
            ["spec.x.b"],
            id="map entry",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": True},
            {"x": {"b": 1}, "y": 2},
            {"x": {}, "y": 2},
            ["spec.x.b"],
            id="entries without a schema lose their fields",
        ),
        pytest.param(preserving(), {"x": {"y": [{"z": 1}]}}, {"x": {"y": [{"z": 1}]}}, [], id="preserved"),
        pytest.param(
            preserving(a=obj(b=STRING)),
            {"x": 1, "a": {"b": "", "c": 1}},
            {"x": 1, "a": {"b": ""}},
            ["spec.a.c"],
            id="specified fields within preserved ones are pruned",
        ),
        pytest.param(
            {"type": "array", "x-kubernetes-preserve-unknown-fields": True, "items": obj(a=obj())},
            [{"b": 1, "a": {"c": 1}}],
            [{"b": 1, "a": {}}],
            ["spec[0].a.c"],
            id="items of a preserving list preserve too",
        ),
        pytest.param(
            {"x-kubernetes-int-or-string": True}, {"a": 1}, {}, ["spec.a"], id="object for an int-or-string"
        ),
        pytest.param({"x-kubernetes-int-or-string": True}, 5, 5, [], id="int-or-string"),
        pytest.param(
            {"type": "array"}, [[{"a": 1}]], [[{}]], ["spec[0][0].a"], id="list whose items have no schema"
        ),
    ],
)
def test_only_specified_fields_are_kept(schema: Any, value: Any, kept: Any, dropped: list[str]) -> None:
    resource = {"spec": value}

    assert spec_of(schema).prune(resource) == dropped
    assert resource == {"spec": kept}


def test_type_and_metadata_of_a_resource_are_kept_whatever_the_schema() -> None:
    resource = {"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x", "odd": 1}, "odd": 1}

    assert compile(obj()).prune(resource) == ["odd"]
    assert resource == {"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x", "odd": 1}}


def test_an_embedded_resource_keeps_type_and_what_is_metadata() -> None:
    schema = {**obj(spec=obj()), "x-kubernetes-embedded-resource": True}
    inner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "odd": 1, "labels": 5},
        "spec": {},
        "status": {},
    }
    resource = {"spec": inner}

    assert spec_of(schema).prune(resource) == ["spec.metadata.odd", "spec.status"]
    assert resource["spec"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}


def test_dropped_paths_come_sorted() -> None:
    assert compile(obj()).prune({"z": 1, "a": 1, "m": 1}) == ["a", "m", "z"]
