"""Sets of fields: their laws, and their form on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api.apply.fieldset import difference, intersection, is_member, packed, paths, union

ELEMENTS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"])


def _shut(node: dict[str, Any]) -> dict[str, Any]:
    """A node below the root: what has nothing below it is a member."""
    return {} if set(node) == {"."} else node


NODES = st.recursive(
    st.just({}),
    lambda inner: st.builds(
        lambda fields, member: _shut(fields | ({".": {}} if member else {})),
        st.dictionaries(ELEMENTS, inner, min_size=1, max_size=3),
        st.booleans(),
    ),
    max_leaves=8,
)
SETS = st.dictionaries(ELEMENTS, NODES, max_size=3)


def members(fields: dict[str, Any], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The same set as paths: the plain model that the tree must agree with."""
    found: set[tuple[str, ...]] = set()
    for element, inner in fields.items():
        if element == ".":
            continue
        if is_member(inner):
            found.add((*path, element))
        found |= members(inner, (*path, element))
    return found


@given(SETS, SETS)
def test_operations_agree_with_sets_of_paths(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert members(union(a, b)) == members(a) | members(b)
    assert members(difference(a, b)) == members(a) - members(b)
    assert members(intersection(a, b)) == members(a) & members(b)


@given(SETS)
def test_a_set_survives_the_wire(fields: dict[str, Any]) -> None:
    assert packed(msgspec.json.decode(msgspec.json.encode(fields))) == fields


@given(SETS, SETS)
def test_results_are_in_canonical_form(a: dict[str, Any], b: dict[str, Any]) -> None:
    for result in (union(a, b), difference(a, b), intersection(a, b)):
        assert packed(result) == result


def test_paths_are_shown_as_in_messages() -> None:
    fields = {
        "f:spec": {
            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:name": {}}},
            "f:finalizers": {'v:"x/y"': {}},
        }
    }

    assert list(paths(fields)) == [
        '.spec.ports[containerPort=80,protocol="TCP"]',
        '.spec.ports[containerPort=80,protocol="TCP"].name',
        '.spec.finalizers[="x/y"]',
    ]


@pytest.mark.parametrize(
    "fields", [{"x": {}}, {"f:a": 1}, {"f:a": {"nonsense": {}}}, {"k:1": {}}, {"v:": {}}]
)
def test_what_is_no_set_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fieldsV1"):
        packed(fields)
