"""The build step that makes the schema data."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "build"


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("normalise_schema")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"type": ["string", "null"]}, {"type": "string"}, id="nullable"),
        pytest.param({"type": ["null", "object"]}, {"type": "object"}, id="null-first"),
        pytest.param({"$ref": "#/$defs/A"}, {"$ref": "#/definitions/A"}, id="reference"),
        pytest.param(
            {
                "type": ["array", "null"],
                "items": {"type": ["integer", "null"]},
                "x-kubernetes-list-type": "atomic",
            },
            {"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "atomic"},
            id="list",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/A"}},
            {"type": "object", "additionalProperties": {"$ref": "#/definitions/A"}},
            id="map",
        ),
        pytest.param(
            {"properties": {"type": {"type": ["string", "null"], "enum": ["a"]}, "kind": {"enum": ["A"]}}},
            {"properties": {"type": {"type": "string", "enum": ["a"]}, "kind": {}}},
            id="fields-named-like-keywords",
        ),
    ],
)
def test_the_published_form_is_restored(
    build: ModuleType, before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert build.restore({"A": before}) == {"A": after}


def test_quantities_are_strings_again(build: ModuleType) -> None:
    name = "io.k8s.apimachinery.pkg.api.resource.Quantity"

    assert (
        build.restore({name: {"oneOf": [{"type": "string"}, {"type": "number"}]}})[name]["type"] == "string"
    )


def test_what_is_added_by_hand_must_have_a_place(build: ModuleType) -> None:
    with pytest.raises(KeyError):
        build.complete({})
