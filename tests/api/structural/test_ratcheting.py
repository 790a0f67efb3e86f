"""An update is not refused for what it does not change."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.structural import compile


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


SHORT = {"type": "string", "maxLength": 2}
LONG = "too long"


def faulty(schema: dict[str, Any], value: Any, old: Any) -> list[str]:
    """The fields at fault."""
    return [fault.field for fault in compile(obj(f=schema)).validate({"f": value}, {"f": old})]


def items(list_type: str = "", **more: Any) -> dict[str, Any]:
    item = obj(name={"type": "string"}, text=SHORT)
    extra = {"x-kubernetes-list-type": list_type} if list_type else {}
    return {"type": "array", "items": item, **extra, **more}


KEYED = items("map", **{"x-kubernetes-list-map-keys": ["name"]})
A, B = {"name": "a", "text": LONG}, {"name": "b", "text": "ok"}


@pytest.mark.parametrize(
    ("schema", "value", "old", "expected"),
    [
        pytest.param(SHORT, LONG, LONG, [], id="unchanged"),
        pytest.param(SHORT, LONG, "other and long", ["f"], id="changed"),
        pytest.param(obj(a=SHORT, b=SHORT), {"a": LONG, "b": "x"}, {"a": LONG}, [], id="sibling added"),
        pytest.param(obj(a=SHORT, b=SHORT), {"a": LONG, "b": LONG}, {"a": LONG}, ["f.b"], id="bad sibling"),
        pytest.param(
            {**obj(a=SHORT), "required": ["z"]}, {"a": "y"}, {"a": "x"}, ["f.z"], id="required where changed"
        ),
        pytest.param(
            {**obj(a=SHORT), "required": ["z"]}, {"a": "x"}, {"a": "x"}, [], id="required unchanged"
        ),
        pytest.param(items(), [A, B], [A], [], id="lists compare by position"),
        pytest.param(items(), [B, A], [A, B], ["f[1].text"], id="other position"),
        pytest.param(KEYED, [B, A], [A, B], [], id="associative lists compare by key"),
        pytest.param({**KEYED, "maxItems": 1}, [B, A], [A, B], [], id="an order of keys is no change"),
        pytest.param({**items(), "maxItems": 1}, [B, B], [B, B], [], id="the same positions"),
        pytest.param({**items(), "maxItems": 1}, [B, {}], [{}, B], ["f"], id="other positions are a change"),
        pytest.param(KEYED, [{**A, "name": "c"}], [A], ["f[0].text"], id="other key"),
        pytest.param(items("atomic"), [A], [A], [], id="atomic list unchanged"),
        pytest.param(items("atomic"), [A, B], [A], ["f[0].text"], id="atomic list changed"),
        pytest.param(
            {"type": "object", "additionalProperties": SHORT}, {"k": LONG, "l": ""}, {"k": LONG}, [], id="map"
        ),
        pytest.param({"x-kubernetes-int-or-string": True, "minimum": 5}, 1, True, ["f"], id="1 is not true"),
        pytest.param({"type": "number", "minimum": 5}, 1, 1.0, ["f"], id="1 is not 1.0"),
        pytest.param(
            {**obj(a=SHORT, b=SHORT), "anyOf": [{"properties": {"a": {"minLength": 1}}}]},
            {"a": "", "b": "y"},
            {"a": "", "b": "x"},
            ["<nil>", "f.a"],
            id="nothing inside a quantifier is spared",
        ),
        pytest.param(
            {**obj(a=SHORT), "x-kubernetes-preserve-unknown-fields": True, "maxProperties": 1},
            {"a": "", "odd": 1},
            {"a": "", "odd": 1},
            ["f"],
            id="objects with unknown fields are never the same",
        ),
    ],
)
def test_only_what_changes_is_held_against_an_update(
    schema: Any, value: Any, old: Any, expected: list[str]
) -> None:
    assert faulty(schema, value, old) == expected


def test_a_list_that_had_duplicates_may_keep_them() -> None:
    schema = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}

    assert faulty(schema, ["a", "a", "b"], ["a", "a"]) == []
    assert faulty(schema, ["a", "a"], ["a"]) == ["f[1]"]


def test_metadata_at_the_root_is_never_spared() -> None:
    schema = compile(obj(metadata=obj(name={"type": "string", "maxLength": 1}), f=SHORT))
    old, new = ({"metadata": {"name": "long"}, "f": text} for text in "ab")

    assert [fault.field for fault in schema.validate(new, old)] == ["metadata.name"]
