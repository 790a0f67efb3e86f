"""Defaults are filled in, at every depth, and nulls make room for them."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.structural import compile


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def text(default: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": "string", **({} if default is None else {"default": default}), **more}


NESTED = obj(inner={**obj(a=text("x"), b=text()), "default": {"b": "given"}})


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        pytest.param(obj(a=text("x")), {}, {"a": "x"}, id="missing"),
        pytest.param(obj(a=text("x")), {"a": ""}, {"a": ""}, id="present, even if empty"),
        pytest.param(obj(a=text("x")), {"a": None}, {"a": "x"}, id="null with a default"),
        pytest.param(obj(a=text()), {"a": None}, {}, id="null without a default"),
        pytest.param(obj(a=text("x", nullable=True)), {"a": None}, {"a": None}, id="null that is allowed"),
        pytest.param(obj(a=text("x", nullable=True)), {}, {"a": "x"}, id="missing and nullable"),
        pytest.param(NESTED, {}, {"inner": {"b": "given", "a": "x"}}, id="default inside a default"),
        pytest.param(obj(inner=obj(a=text("x"))), {}, {}, id="no default, no object"),
        pytest.param(obj(inner=obj(a=text("x"))), {"inner": {}}, {"inner": {"a": "x"}}, id="nested"),
        pytest.param(
            obj(l={"type": "array", "items": obj(a=text("x"))}),
            {"l": [{}, {"a": "y"}]},
            {"l": [{"a": "x"}, {"a": "y"}]},
            id="list items",
        ),
        pytest.param(
            obj(l={"type": "array", "items": text("x")}),
            {"l": [None, "y"]},
            {"l": ["x", "y"]},
            id="null item",
        ),
        pytest.param(
            obj(l={"type": "array", "items": text()}), {"l": [None]}, {"l": [None]}, id="null item stays"
        ),
        pytest.param(
            obj(m={"type": "object", "additionalProperties": obj(a=text("x"))}),
            {"m": {"k": {}}},
            {"m": {"k": {"a": "x"}}},
            id="map entries",
        ),
        pytest.param(
            obj(m={"type": "object", "additionalProperties": text()}),
            {"m": {"k": None, "l": "v"}},
            {"m": {"l": "v"}},
            id="null map entry",
        ),
        pytest.param(
            {**obj(), "x-kubernetes-preserve-unknown-fields": True}, {"q": None}, {"q": None}, id="q"
        ),
        pytest.param(
            obj(o={**obj(a=text()), "default": {"a": "x", "odd": 1}}),
            {},
            {"o": {"a": "x"}},
            id="pruned default",
        ),
        pytest.param(obj(a={"type": "boolean", "default": False}), {}, {"a": False}, id="false is a default"),
    ],
)
def test_defaults_are_filled_in(schema: Any, value: Any, expected: Any) -> None:
    resource = {"spec": value}

    compile(obj(spec=schema)).default(resource)

    assert resource == {"spec": expected}


def test_every_object_gets_its_own_copy_of_a_default() -> None:
    schema = compile(obj(o={**obj(), "x-kubernetes-preserve-unknown-fields": True, "default": {"l": []}}))
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    schema.default(first)
    schema.default(second)

    first["o"]["l"].append(1)

    assert second == {"o": {"l": []}}
