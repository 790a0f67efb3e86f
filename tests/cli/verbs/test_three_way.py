"""Three-way patches leave what the manifest says, and what others have set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import schema
from kplane.api.patches import merge, strategic
from kplane.api.resource import Object
from kplane.cli.verbs.three_way import merge_patch, strategic_patch

NODE = schema.node("io.k8s.api.apps.v1.Deployment")


def deployment(*containers: Object, **spec: Any) -> Object:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}} | spec}


def container(name: str, *env: str, **fields: Any) -> Object:
    variables = {"env": [{"name": entry[0], "value": entry[2:]} for entry in env]} if env else {}
    return {"name": name} | variables | fields


@pytest.mark.parametrize(
    ("original", "modified", "current", "result"),
    [
        pytest.param(
            deployment(container("a", image="1")),
            deployment(container("a", image="2")),
            deployment(container("a", image="1", tty=True)),
            deployment(container("a", image="2", tty=True)),
            id="change",
        ),
        pytest.param(
            deployment(container("a"), container("b")),
            deployment(container("a")),
            deployment(container("a"), container("b"), container("injected")),
            deployment(container("a"), container("injected")),
            id="delete-item",
        ),
        pytest.param(
            deployment(container("a", "X=1", "Y=2")),
            deployment(container("a", "Z=3", "Y=4")),
            deployment(container("a", "X=1", "Y=2", "I=9")),
            deployment(container("a", "Z=3", "Y=4", "I=9")),
            id="nested-lists",
        ),
        pytest.param(
            deployment(container("a"), container("b")),
            deployment(container("b"), container("a")),
            deployment(container("a"), container("b")),
            deployment(container("b"), container("a")),
            id="order",
        ),
        pytest.param(
            deployment(replicas=3),
            deployment(),
            deployment(replicas=3, paused=True),
            deployment(paused=True),
            id="delete-field",
        ),
        pytest.param(
            deployment(),
            deployment(strategy={"type": "Recreate"}),
            deployment(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
            deployment(strategy={"type": "Recreate"}),
            id="retain-keys",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a/x", "a/y"]}},
            {"metadata": {"finalizers": ["a/y", "a/z"]}},
            {"metadata": {"finalizers": ["a/x", "a/y", "a/i"]}},
            {"metadata": {"finalizers": ["a/y", "a/z", "a/i"]}},
            id="set",
        ),
    ],
)
def test_strategic_patch_brings_the_live_object_there(
    original: Object, modified: Object, current: Object, result: Object
) -> None:
    patch = strategic_patch(original, modified, current, NODE)

    assert strategic(current, patch, NODE) == result


def test_nothing_to_do_is_an_empty_patch() -> None:
    manifest = deployment(container("a", "X=1", image="1"))
    current = deployment(container("a", "X=1", image="1", tty=True), container("injected"), replicas=1)

    assert strategic_patch(manifest, manifest, current, NODE) == {}
    assert merge_patch({"spec": {"a": [1]}}, {"spec": {"a": [1]}}, {"spec": {"a": [1], "b": 2}}) == {}


def test_true_is_not_one() -> None:
    assert merge_patch({}, {"a": True}, {"a": 1}) == {"a": True}


SCALARS = st.integers(0, 3) | st.booleans() | st.text("ab", max_size=2)
OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), SCALARS | st.lists(SCALARS, max_size=2), max_size=4),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), SCALARS | inner, max_size=4),
    max_leaves=12,
)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merge_patch_settles_in_one_step(original: Object, modified: Object, current: Object) -> None:
    patched = merge(current, merge_patch(original, modified, current))

    assert merge_patch(modified, modified, patched) == {}
    assert not gone_fields(original, modified) & set(patched)


def gone_fields(original: Object, modified: Object) -> set[str]:
    return set(original) - set(modified)
