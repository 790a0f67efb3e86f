"""What a definition's status should say, without a server."""

from __future__ import annotations

from typing import Any

from kplane.apiserver.extensions.lifecycle import Taken, next_status, taken
from kplane.apiserver.extensions.rows import all_rows

from .conftest import condition, crd, version

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def definition(**more: Any) -> dict[str, Any]:
    body = crd(**more)
    body["spec"]["names"] = {"singular": "widget", "listKind": "WidgetList"} | body["spec"]["names"]
    return body


def settled(body: dict[str, Any]) -> dict[str, Any]:
    status = next_status(body, Taken(), NOW)
    assert status is not None
    return body | {"status": status}


def test_a_settled_definition_is_left_alone() -> None:
    body = settled(definition())

    assert next_status(body, taken("example.com", [body]), LATER) is None


def test_the_time_of_a_condition_is_that_of_its_last_change() -> None:
    body = settled(definition())
    body["spec"]["names"]["shortNames"] = ["w"]

    status = next_status(body, Taken({"w"}, set()), LATER)

    assert status is not None
    times = {entry["type"]: entry["lastTransitionTime"] for entry in status["conditions"]}
    assert times == {"NamesAccepted": LATER, "Established": NOW}
    assert condition({"status": status}, "NamesAccepted")[1] == "ShortNamesConflict"


def test_an_established_definition_stays_so_whatever_it_is_renamed_to() -> None:
    body = settled(definition())
    body["spec"]["names"] |= {"kind": "Gadget", "singular": "gadget"}

    status = next_status(body, Taken({"gadget"}, {"Gadget"}), LATER)

    assert status is not None
    assert condition({"status": status}, "Established")[0] == "True"
    assert status["acceptedNames"]["kind"] == "Widget"
    assert status["acceptedNames"]["singular"] == "widget"


def test_a_schema_that_is_not_structural_is_told_of_and_its_objects_are_kept_whole() -> None:
    body = settled(definition(versions=[version(spec={"properties": {"a": {"type": "string"}}})]))
    told = condition(body, "NonStructuralSchema")
    body["spec"]["versions"] = [version()]

    repaired = next_status(body, Taken(), LATER)

    assert told[:2] == ("True", "Violations")
    assert "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value" in told[2]
    assert repaired is not None
    assert condition({"status": repaired}, "NonStructuralSchema") == ("", "", "")


def test_a_schema_that_is_not_understood_keeps_everything() -> None:
    body = settled(definition())
    body["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": {"$ref": "elsewhere"}}

    [row] = all_rows(body).served

    assert row.custom is not None
    obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {}, "spec": {"any": 1}}
    assert row.custom.schema.prune(obj) == []
