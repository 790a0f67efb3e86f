"""What holds for every schema and every value."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kplane.api.field import FieldError
from kplane.api.structural import compile
from kplane.api.structural.formats import CHECKS

pytestmark = pytest.mark.slow

NAMES = st.sampled_from(["a", "b", "c", "kind", "metadata"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["10.0.0.1", "2024-01-01", "1h", "a@b"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
RESOURCES = st.dictionaries(st.sampled_from(["spec", "status", "metadata", "odd"]), VALUES, max_size=4)


def optional(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({}) | values.map(lambda value: {key: value})


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


LIMITS = merged(
    optional("minimum", st.integers(-3, 3)),
    optional("multipleOf", st.sampled_from([2, 0.5, 0.1])),
    optional("maxLength", st.integers(0, 3)),
    optional("pattern", st.sampled_from(["^a", "[0-9]+$", r"\pL"])),
    optional("format", st.sampled_from([*CHECKS, "int32", "odd"])),
    optional("enum", st.lists(SCALARS, min_size=1, max_size=2)),
    optional("maxItems", st.integers(0, 2)),
    optional("maxProperties", st.integers(0, 2)),
    optional("required", st.lists(NAMES, max_size=2)),
    optional("uniqueItems", st.just(True)),
)
COMMON = merged(LIMITS, optional("nullable", st.booleans()), optional("default", VALUES))
BRANCHES = st.lists(
    merged(LIMITS, optional("properties", st.dictionaries(NAMES, LIMITS, max_size=2))), max_size=2
)
QUANTIFIED = merged(
    optional("anyOf", BRANCHES),
    optional("oneOf", BRANCHES),
    optional("allOf", BRANCHES),
    optional("not", LIMITS),
)
PRESERVING = st.just({"x-kubernetes-preserve-unknown-fields": True})
LEAVES = merged(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean")])
    | st.just({"x-kubernetes-int-or-string": True})
    | PRESERVING,
    COMMON,
    QUANTIFIED,
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    lists = merged(
        inner.map(lambda item: {"type": "array", "items": item}),
        st.sampled_from(
            [
                {},
                {"x-kubernetes-list-type": "set"},
                {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
                {"x-kubernetes-list-type": "atomic"},
            ]
        ),
    )
    maps = inner.map(lambda item: {"type": "object", "additionalProperties": item})
    objects = merged(
        st.dictionaries(NAMES, inner, max_size=3).map(lambda found: {"type": "object", "properties": found}),
        st.just({}) | PRESERVING,
        st.just({}) | st.just({"x-kubernetes-embedded-resource": True}),
    )
    return merged(lists | maps | objects, COMMON, QUANTIFIED)


SCHEMAS = st.recursive(LEAVES, containers, max_leaves=8).map(
    lambda spec: {"type": "object", "properties": {"spec": spec, "metadata": {"type": "object"}}}
)


def shown(value: Any) -> bytes:
    """Tells 1 from 1.0 and true."""
    return msgspec.json.encode(value, order="sorted")


@settings(deadline=None)
@given(SCHEMAS, RESOURCES)
def test_pruning_twice_is_pruning_once(schema: Any, resource: Any) -> None:
    compiled = compile(schema)
    compiled.prune(resource)
    once = shown(resource)

    assert compiled.prune(resource) == []
    assert shown(resource) == once


@settings(deadline=None)
@given(SCHEMAS, RESOURCES)
def test_defaulting_twice_is_defaulting_once(schema: Any, resource: Any) -> None:
    compiled = compile(schema)
    compiled.default(resource)
    once = shown(resource)

    compiled.default(resource)

    assert shown(resource) == once


@settings(deadline=None)
@given(SCHEMAS, RESOURCES, st.none() | RESOURCES)
def test_validating_never_raises_and_changes_nothing(schema: Any, resource: Any, old: Any) -> None:
    before = shown([resource, old])

    faults = list(compile(schema).validate(resource, old))

    assert all(isinstance(fault, FieldError) for fault in faults)
    assert shown([resource, old]) == before


@settings(deadline=None)
@given(SCHEMAS, RESOURCES)
def test_an_unchanged_object_has_no_new_faults(schema: Any, resource: Any) -> None:
    compiled = compile(schema)
    found = list(compiled.validate(resource))

    assert set(compiled.validate(resource, copy.deepcopy(resource))) <= set(found)


@settings(deadline=None)
@given(VALUES)
def test_pruning_keeps_all_that_is_preserved(value: Any) -> None:
    schema = compile(
        {"type": "object", "properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True}}}
    )
    resource = {"spec": value}
    before = shown(resource)

    assert schema.prune(resource) == []
    assert shown(resource) == before


@settings(deadline=None)
@given(SCHEMAS, RESOURCES)
def test_what_is_left_after_pruning_was_there_before(schema: Any, resource: Any) -> None:
    before = copy.deepcopy(resource)

    dropped = compile(schema).prune(resource)

    assert bool(dropped) == (shown(before) != shown(resource)) or _only_metadata(dropped, before, resource)


def _only_metadata(dropped: list[str], before: Any, after: Any) -> bool:
    """Malformed metadata of embedded resources is dropped, and times and the like are rewritten, in"
    " silence."""
    return not dropped and "metadata" in shown(before).decode() and shown(before) != shown(after)
