"""Strategic merge patch: lists by their keys, directives, and upstream's order."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import schema
from kplane.api.errors import ApiError, BadRequest
from kplane.api.patches import strategic

DEPLOYMENT = schema.node("io.k8s.api.apps.v1.Deployment")
SERVICE = schema.node("io.k8s.api.core.v1.Service")


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def containers(result: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result["spec"]["template"]["spec"]["containers"]
    return found


def names(result: dict[str, Any]) -> list[str]:
    return [container["name"] for container in containers(result)]


A = {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}
B = {"name": "b", "image": "2"}


def test_keyed_lists_merge_item_by_item() -> None:
    patched = strategic(pod(containers=[A, B]), pod(containers=[{"name": "a", "image": "9"}]), DEPLOYMENT)

    assert containers(patched) == [{**A, "image": "9"}, B]


def test_nested_keyed_lists_merge_as_well() -> None:
    patch = pod(
        containers=[{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": None}]}]
    )

    merged = containers(strategic(pod(containers=[A]), patch, DEPLOYMENT))[0]["env"]

    assert {"name": "Y", "value": "2"} in merged
    assert {"name": "X"} in merged


def test_new_items_go_first_unless_the_order_is_given() -> None:
    new = {"name": "c", "image": "3"}
    ordered = {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}

    assert names(strategic(pod(containers=[A, B]), pod(containers=[new]), DEPLOYMENT)) == ["c", "a", "b"]
    patch = pod(containers=[new], **ordered)
    assert names(strategic(pod(containers=[A, B]), patch, DEPLOYMENT)) == ["a", "b", "c"]


def test_an_order_alone_reorders_and_leaves_strangers_in_place() -> None:
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    stranger = {"name": "s", "image": "0"}

    patched = strategic(pod(containers=[stranger, A, B]), pod(**order), DEPLOYMENT)

    assert names(patched) == ["s", "b", "a"]


@pytest.mark.parametrize(
    ("items", "left"),
    [
        pytest.param([{"name": "a", "$patch": "delete"}], ["b"], id="delete"),
        pytest.param([{"name": "none", "$patch": "delete"}], ["a", "b"], id="delete-missing"),
        pytest.param([{"$patch": "replace"}, {"name": "z"}], ["z"], id="replace"),
        pytest.param([{"$patch": "replace"}], [], id="empty"),
    ],
)
def test_directives_in_lists(items: list[Any], left: list[str]) -> None:
    assert names(strategic(pod(containers=[A, B]), pod(containers=items), DEPLOYMENT)) == left


def test_keys_need_not_be_unique() -> None:
    tcp, udp = {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}

    patched = strategic(
        {"spec": {"ports": [tcp, udp]}}, {"spec": {"ports": [{"port": 53, "name": "dns"}]}}, SERVICE
    )

    assert patched["spec"]["ports"] == [{**tcp, "name": "dns"}, udp]


def test_lists_without_merge_strategy_are_replaced() -> None:
    obj = pod(containers=[{**A, "args": ["1", "2"]}])

    patched = strategic(obj, pod(containers=[{"name": "a", "args": ["3"]}]), DEPLOYMENT)

    assert containers(patched)[0]["args"] == ["3"]


def test_lists_of_primitives_merge_as_sets() -> None:
    obj = {"metadata": {"finalizers": ["a/b", "c/d"]}}
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a/b"],
            "$setElementOrder/finalizers": ["c/d", "e/f"],
            "finalizers": ["e/f"],
        }
    }

    assert strategic(obj, patch, DEPLOYMENT) == {"metadata": {"finalizers": ["c/d", "e/f"]}}
    assert strategic(obj, {"metadata": {"finalizers": ["c/d"]}}, DEPLOYMENT) == obj


def test_directives_in_objects() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    obj = {"spec": {"strategy": rolling}}

    def patched(strategy: dict[str, Any]) -> Any:
        return strategic(obj, {"spec": {"strategy": strategy}}, DEPLOYMENT)["spec"]["strategy"]

    assert patched({"$patch": "replace", "type": "Recreate"}) == {"type": "Recreate"}
    assert patched({"$retainKeys": ["type"], "type": "Recreate"}) == {"type": "Recreate"}
    assert patched({"$patch": "merge", "type": "Recreate"}) == {**rolling, "type": "Recreate"}
    assert patched({"$patch": "delete"}) == {}


def test_null_deletes_and_leaves_nothing_behind() -> None:
    obj = {"metadata": {"labels": {"x": "1"}}}

    assert strategic(obj, {"metadata": {"labels": {"x": None, "y": "2"}}}, DEPLOYMENT) == {
        "metadata": {"labels": {"y": "2"}}
    }
    assert strategic({}, {"metadata": {"labels": {"x": None}}}, DEPLOYMENT) == {"metadata": {"labels": {}}}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": {"$patch": "zap"}}, "Unknown patch type found: zap"),
        ({"spec": {"$retainKeys": 1}}, "invalid patch format of retainKeys"),
        ({"spec": {"$retainKeys": [], "replicas": 1}}, "invalid patch format of retainKeys"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}, "must be a list"),
        (
            pod(containers=[A, B], **{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            "doesn't match",
        ),
    ],
)
def test_malformed_patches_are_refused(patch: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        strategic({"metadata": {}, **pod(containers=[A, B])}, patch, DEPLOYMENT)


def test_an_item_without_its_key_is_an_error() -> None:
    with pytest.raises(ApiError, match=r'map: {"image":"9"} does not contain declared merge key: name'):
        strategic(pod(containers=[A]), pod(containers=[{"image": "9"}]), DEPLOYMENT)


CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "image": st.sampled_from("123")}),
    unique_by=lambda container: container["name"],
)


@given(CONTAINERS)
def test_an_empty_patch_changes_nothing(listed: list[Any]) -> None:
    obj = pod(containers=listed)

    assert strategic(obj, {}, DEPLOYMENT) == obj
    assert strategic(obj, pod(), DEPLOYMENT) == obj


@given(CONTAINERS, CONTAINERS)
def test_a_patch_applied_twice_does_what_it_does_once(have: list[Any], want: list[Any]) -> None:
    obj, patch = pod(containers=have), pod(containers=want)
    before = copy.deepcopy((obj, patch))

    once = strategic(obj, patch, DEPLOYMENT)
    twice = strategic(once, patch, DEPLOYMENT)

    assert (obj, patch) == before
    assert sorted(names(once)) == sorted(names(twice))
    assert {c["name"]: c for c in containers(once)} == {c["name"]: c for c in containers(twice)}
    assert {c["name"] for c in containers(once)} == {c["name"] for c in have + want}
