"""What is remembered, and what is passed over, makes no difference: each short cut beside the rule itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kplane.api import apply
from kplane.api.apply.compare import compare
from kplane.api.apply.shape import KEPT, LONGEST_KEPT, LONGEST_PLANNED, MissingKey, Shape, shape_of
from kplane.api.apply.versions import SameVersion, withdrawn
from kplane.api.errors import BadRequest

POD = shape_of("io.k8s.api.core.v1.Pod")
VERSIONS = SameVersion("v1", POD)
ENV = POD.steps["spec"][1].steps["containers"][1].item.steps["env"][1]
WRITER = apply.Writer("a", "v1", "2026-01-01T00:00:00Z", "", frozenset({"f:status"}))

words = st.sampled_from(["a", "b", 'c"', "d" * LONGEST_KEPT * 2])
maybe = st.none() | words


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


variables = st.lists(
    some(name=words, value=maybe, valueFrom=some(fieldRef=some(fieldPath=words))), max_size=3
)
ports = st.lists(some(containerPort=st.integers(1, 3), protocol=words, name=words, other=words), max_size=3)
containers = st.lists(
    some(
        name=words,
        image=maybe,
        env=variables,
        ports=ports,
        args=st.lists(words, max_size=2),
        resources=some(limits=st.dictionaries(words, words, max_size=2)),
    ),
    max_size=3,
)
meta = some(
    labels=st.none() | st.dictionaries(words, words, max_size=2), finalizers=st.lists(words, max_size=2)
)
pods = st.fixed_dictionaries(
    {"metadata": meta},
    optional={"spec": some(containers=containers, nodeName=maybe, securityContext=some(sysctls=ports))},
)


def everything(shape: Shape, value: Any) -> dict[str, Any]:
    """The rule: what is new is owned as a whole, with every inner node and all that has a place."""
    if shape.leaf or not value:
        return {}
    fields: dict[str, Any] = {".": {}}
    for element, inner, child in children(shape, value):
        fields[element] = everything(inner, child)
    return fields


def children(shape: Shape, value: Any) -> list[tuple[str, Shape, Any]]:
    found = []
    for name, child in value.items() if shape.named else enumerate(value):
        if shape.named:
            step = shape.step(name)
            found += [(*step, child)] if step else []
        else:
            try:
                found.append((spelt(shape, child), shape.item, child))
            except MissingKey:
                continue
    return found


def spelt(shape: Shape, item: Any) -> str:
    """The element, of a shape that remembers nothing."""
    fresh = Shape(shape.kind)
    fresh.keys, fresh.key = shape.keys, shape.key
    return fresh.element(item)


@pytest.mark.slow
@given(new=pods)
@settings(deadline=None)
def test_what_is_new_is_owned_whether_it_is_remembered_or_not(new: dict[str, Any]) -> None:
    expected = {
        element: everything(inner, value) for element, inner, value in children(POD, new) if value is not None
    }

    for _ in range(2):
        assert compare(POD, {}, new).changed == expected


@pytest.mark.slow
@given(new=pods)
@settings(deadline=None)
def test_a_creation_is_tracked_as_any_write_is(new: dict[str, Any]) -> None:
    # What cannot be read counts as nothing, and is looked at all the same.
    unreadable = [{"operation": "?"}]

    assert apply.track(None, new, None, WRITER, VERSIONS) == apply.track(
        None, new, unreadable, WRITER, VERSIONS
    )


@pytest.mark.slow
@given(live=pods, config=pods)
@settings(deadline=None)
def test_who_applies_the_same_again_withdraws_nothing(live: dict[str, Any], config: dict[str, Any]) -> None:
    config |= {"kind": "Pod", "apiVersion": "v1"}
    try:
        first = apply.apply(live, config, WRITER, VERSIONS, force=True)
    except BadRequest:
        return
    last = next(e for e in [*first["metadata"]["managedFields"], {}] if e.get("operation") in ("Apply", None))
    if not last:
        return
    again = apply.apply(copy.deepcopy(first), config, WRITER, VERSIONS, force=True)

    assert again == withdrawn(again, last, last["fieldsV1"], {}, POD, WRITER, VERSIONS)
    assert again["metadata"]["managedFields"] == first["metadata"]["managedFields"]


def test_memory_is_bounded() -> None:
    variables = [{"name": f"{number:0{LONGEST_KEPT}}"} for number in range(3 * KEPT)]
    env = {"spec": {"containers": [{"name": "c", "env": variables}]}}

    changed = compare(POD, {}, env).changed

    found = changed["f:spec"]["f:containers"]['k:{"name":"c"}']["f:env"]
    assert len(found) == 3 * KEPT + 1
    assert len(ENV.elements) <= KEPT


def test_plans_are_few_and_short() -> None:
    metadata = POD.steps["metadata"][1]
    labels = metadata.steps["labels"][1]
    for number in range(3 * KEPT):
        compare(POD, {}, {"metadata": {"labels": {f"label-{number}": "x"}}})
    few = len(labels.plans)
    compare(POD, {}, {"metadata": {"labels": {"x" * LONGEST_PLANNED * 2: "x"}}})

    assert few <= KEPT
    assert len(labels.plans) == few
