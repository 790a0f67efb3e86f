"""Schemas and objects that are made to hurt: bounded time, bounded depth, a clear answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from kplane.api.field import Path
from kplane.api.structural import SchemaError, compile, validate_definition
from kplane.api.structural.faults import MOST_FAULTS
from kplane.api.structural.spec import MAX_DEPTH

STRING = {"type": "string"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(levels: int, wrap: str) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value] if wrap == "list" else {"a": value}
    return value


def deep_schema(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = obj(a=schema)
    return schema


def test_a_schema_that_is_too_deep_is_refused() -> None:
    text = f"OpenAPIV3Schema is nested deeper than {MAX_DEPTH} levels"

    with pytest.raises(SchemaError, match=text):
        compile(deep_schema(5_000))
    assert [str(fault) for fault in validate_definition(deep_schema(5_000), Path("s"))] == [
        f's: Invalid value: "": {text}'
    ]


@pytest.mark.parametrize("keyword", ["items", "not", "additionalProperties", "allOf", "anyOf", "oneOf"])
def test_every_way_down_counts(keyword: str) -> None:
    schema: Any = STRING
    for _ in range(5_000):
        schema = {**STRING, keyword: [schema] if keyword.endswith("Of") else schema}

    with pytest.raises(SchemaError, match="nested deeper"):
        compile(schema)


def test_a_default_that_is_too_deep_is_refused() -> None:
    schema = obj(
        f={"type": "object", "x-kubernetes-preserve-unknown-fields": True, "default": nested(5_000, "dict")}
    )

    (fault,) = validate_definition(schema, Path("s"))

    assert "nested deeper" in fault.text


def test_the_deepest_schema_works() -> None:
    schema = compile(deep_schema(MAX_DEPTH))
    resource = nested(MAX_DEPTH + 2, "dict")

    assert len(schema.prune(resource)) == 1
    schema.default(resource)
    assert schema.node.fields is not None
    assert not list(schema.validate(resource, nested(MAX_DEPTH, "dict")))


def deep_branches(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"minLength": 1}
    for _ in range(levels):
        schema = {"anyOf": [schema]}
    return obj(f={**STRING, **schema})


def beneath(frames: int, call: Callable[[], Any]) -> Any:
    """The result of a call on a stack that is well used already."""
    return beneath(frames - 1, call) if frames else call()


@pytest.mark.parametrize("frames", [0, 200, 400, 600])
@pytest.mark.parametrize(
    "schema", [deep_schema(MAX_DEPTH), deep_branches(MAX_DEPTH - 3)], ids=["fields", "branches"]
)
def test_a_definition_that_passes_also_compiles(schema: Any, frames: int) -> None:
    if beneath(frames, lambda: list(validate_definition(schema, Path("s")))):
        with pytest.raises(SchemaError, match="nested too deep"):
            beneath(frames, lambda: compile(schema))
    else:
        compiled = beneath(frames, lambda: compile(schema))
        assert beneath(frames, lambda: list(compiled.validate({"f": "x"}))) == []


@pytest.mark.parametrize("wrap", ["list", "dict"])
@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(STRING, id="scalar"),
        pytest.param({"type": "array", "items": STRING}, id="list"),
        pytest.param({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, id="anything"),
        pytest.param(
            {
                "type": "array",
                "x-kubernetes-list-type": "set",
                "items": {"x-kubernetes-preserve-unknown-fields": True},
            },
            id="set",
        ),
        pytest.param({"x-kubernetes-preserve-unknown-fields": True, "enum": ["a"]}, id="enum"),
        pytest.param(
            {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "x-kubernetes-preserve-unknown-fields": True,
            },
            id="embedded",
        ),
    ],
)
def test_a_value_may_be_as_deep_as_it_likes(schema: Any, wrap: str) -> None:
    compiled = compile(obj(f=schema))
    for value in (nested(4_000, wrap), [nested(4_000, wrap)], {"metadata": nested(4_000, wrap)}):
        resource = {"f": value}
        list(compiled.validate(resource, {"f": nested(4_000, wrap)}))
        compiled.prune(resource)
        compiled.default(resource)


def test_patterns_take_linear_time() -> None:
    schema = compile(obj(f={**STRING, "pattern": "^(a+)+$"}))

    begun = time.process_time()
    (fault,) = schema.validate({"f": "a" * 50_000 + "b"})

    assert fault.reason == "FieldValueInvalid"
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize("form", ["email", "hostname", "duration", "uri", "ipv4", "date-time", "isbn", "mac"])
def test_formats_take_linear_time(form: str) -> None:
    schema = compile(obj(f={**STRING, "format": form}))
    texts = (
        "a" * 50_000 + "!",
        "1" * 50_000 + "x",
        "1.5h" * 12_000 + "!",
        "a." * 25_000,
        "1:" * 25_000,
        "9" * 50_000,
    )

    begun = time.process_time()
    for text in texts:
        list(schema.validate({"f": text}))

    assert time.process_time() - begun < 0.25


def test_not_every_fault_of_a_million_is_told() -> None:
    schema = compile(obj(f={"type": "array", "items": STRING}))

    assert len(list(schema.validate({"f": [1] * 100_000}))) == MOST_FAULTS


def test_comparing_with_the_old_object_takes_linear_time() -> None:
    levels = MAX_DEPTH - 2
    schema: dict[str, Any] = {"type": "array", "items": {**STRING, "maxLength": 1}}
    for _ in range(levels):
        schema = {**obj(a=schema), "maxProperties": 1}

    def make(last: str) -> Any:
        value: Any = ["x"] * 5_000 + [last]
        for _ in range(levels):
            value = {"a": value}
        return value

    compiled = compile(schema)
    old, new = make("y"), make("z")

    begun = time.process_time()
    assert not list(compiled.validate(new, old))

    assert time.process_time() - begun < 0.2


def test_quantifiers_within_quantifiers_take_linear_time() -> None:
    schema: dict[str, Any] = {"enum": ["never"]}
    for _ in range(MAX_DEPTH - 8):
        schema = {"anyOf": [{"enum": ["no"]}, schema]}
    compiled = compile(obj(f={**STRING, **schema}))

    begun = time.process_time()
    assert list(compiled.validate({"f": "x"}))

    assert time.process_time() - begun < 0.2
