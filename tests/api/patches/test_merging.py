"""Merge patch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api.errors import BadRequest
from kplane.api.patches import merge

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


@pytest.mark.parametrize(
    ("obj", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_examples_of_the_rfc(obj: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merge(obj, patch) == result


def test_a_patch_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest):
        merge({}, ["a"])  # type: ignore[arg-type]


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(obj: dict[str, Any]) -> None:
    assert merge(obj, {}) == obj


@given(OBJECTS, OBJECTS)
def test_a_patch_applied_twice_does_what_it_does_once(obj: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(obj, patch)

    assert merge(once, patch) == once
