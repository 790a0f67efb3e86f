"""Applying and tracking, as pure functions over objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import apply
from kplane.api.apply.clientside import LAST_APPLIED
from kplane.api.apply.shape import shape_of
from kplane.api.apply.versions import SameVersion
from kplane.api.errors import ApiError, Conflict

DEPLOYMENT = shape_of("io.k8s.api.apps.v1.Deployment")
VERSIONS = SameVersion("apps/v1", DEPLOYMENT)
RESET = frozenset({"f:status"})


def by(manager: str, time: str = "2026-01-01T00:00:00Z", subresource: str = "") -> apply.Writer:
    return apply.Writer(manager, "apps/v1", time, subresource, RESET)


def deployment(**metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"} | metadata}


def with_containers(*containers: dict[str, Any]) -> dict[str, Any]:
    return deployment() | {"spec": {"template": {"spec": {"containers": list(containers)}}}}


def applied(
    live: dict[str, Any] | None, config: dict[str, Any], manager: str = "a", *, force: bool = False
) -> dict[str, Any]:
    return apply.apply(live, config, by(manager), VERSIONS, force=force)


def written(obj: dict[str, Any], manager: str, old: dict[str, Any] | None = None) -> dict[str, Any]:
    """`obj` as an ordinary write leaves it."""
    new = copy.deepcopy(obj)
    given_ = old["metadata"].get("managedFields") if old else None
    new["metadata"]["managedFields"] = apply.track(old, new, given_, by(manager), VERSIONS)
    return new


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    entries = obj["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in entries}


def test_creation_lists_every_field_as_upstream_does() -> None:
    container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "1"}}}
    obj = with_containers(container) | {"metadata": {"name": "web", "labels": {"app": "web"}}}
    obj["spec"] |= {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}}

    new = written(obj, "kubectl")

    resources = {".": {}, "f:requests": {".": {}, "f:cpu": {}}}
    listed = {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:image": {}, "f:resources": resources}}
    assert managers(new)["kubectl", "Update"] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:selector": {},
            "f:template": {"f:spec": {"f:containers": listed}},
        },
    }


def test_null_may_be_applied_to_null() -> None:
    live = deployment() | {"spec": {"template": None}}

    assert applied(live, deployment() | {"spec": {"template": None}})["spec"] == {"template": None}


def test_an_apply_claims_what_it_lists() -> None:
    config = with_containers({"name": "c", "ports": [{"containerPort": 80}], "command": ["a", "b"]})
    config["metadata"]["finalizers"] = ["x/y"]

    new = applied(None, config)

    ports = {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}
    listed = {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:command": {}, "f:ports": ports}}
    assert managers(new)["a", "Apply"] == {
        "f:metadata": {"f:finalizers": {'v:"x/y"': {}}},
        "f:spec": {"f:template": {"f:spec": {"f:containers": listed}}},
    }


def test_a_field_that_another_manager_set_is_a_conflict() -> None:
    live = written(deployment() | {"spec": {"replicas": 1, "paused": True}}, "kubectl-edit")

    with pytest.raises(Conflict) as one:
        applied(live, deployment() | {"spec": {"replicas": 2}})
    with pytest.raises(Conflict) as two:
        applied(live, deployment() | {"spec": {"replicas": 2, "paused": False}})

    assert one.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas'
    )
    assert one.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-edit" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    assert two.value.message == (
        'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using apps/v1:\n'
        "- .spec.paused\n- .spec.replicas"
    )


def test_force_takes_the_field_away() -> None:
    live = applied(None, deployment() | {"spec": {"replicas": 1, "paused": True}}, "a")

    new = applied(live, deployment() | {"spec": {"replicas": 2}}, "b", force=True)

    assert new["spec"] == {"replicas": 2, "paused": True}
    assert managers(new) == {
        ("a", "Apply"): {"f:spec": {"f:paused": {}}},
        ("b", "Apply"): {"f:spec": {"f:replicas": {}}},
    }


def test_the_same_value_is_shared() -> None:
    config = deployment() | {"spec": {"replicas": 1}}
    live = applied(applied(None, config, "a"), config, "b")

    left = applied(live, deployment(), "a")
    gone = applied(left, deployment(), "b")

    assert set(managers(live)) == {("a", "Apply"), ("b", "Apply")}
    assert left["spec"] == {"replicas": 1}
    assert "spec" not in gone


def test_an_item_that_is_listed_no_more_goes_and_others_stay() -> None:
    live = applied(None, with_containers({"name": "x"}, {"name": "y", "image": "y:1"}), "a")
    live = applied(live, with_containers({"name": "z", "image": "z:1"}), "b")
    # What defaulting filled in belongs to nobody and goes with its item.
    live["spec"]["template"]["spec"]["containers"][1]["terminationMessagePath"] = "/dev/log"

    new = applied(live, with_containers({"name": "x"}), "a")

    assert new["spec"]["template"]["spec"]["containers"] == [{"name": "x"}, {"name": "z", "image": "z:1"}]


def test_the_configuration_orders_its_items() -> None:
    live = applied(None, with_containers({"name": "x"}, {"name": "y"}), "a")
    live = applied(live, with_containers({"name": "other"}), "b")

    new = applied(live, with_containers({"name": "y"}, {"name": "x"}), "a")

    names = [container["name"] for container in new["spec"]["template"]["spec"]["containers"]]
    assert names == ["y", "x", "other"]


def test_an_update_takes_changed_fields_and_drops_removed_ones() -> None:
    live = applied(None, deployment(labels={"a": "1", "b": "1"}) | {"spec": {"replicas": 1}}, "a")
    changed = copy.deepcopy(live)
    changed["metadata"]["labels"] = {"a": "2"}

    new = written(changed, "b", live)

    assert managers(new) == {
        ("a", "Apply"): {"f:spec": {"f:replicas": {}}},
        ("b", "Update"): {"f:metadata": {"f:labels": {"f:a": {}}}},
    }


def test_null_is_the_same_as_absence() -> None:
    live = written(deployment(uid="u") | {"spec": {"replicas": 1, "paused": None}}, "a")

    assert written(live | {"spec": {"replicas": 1}}, "b", live) == live | {"spec": {"replicas": 1}}
    assert written(live | {"spec": {"replicas": 1, "paused": None}}, "b", live) == live


def test_objects_without_entries_are_tracked_from_the_first_apply_on() -> None:
    live = deployment(uid="u") | {"spec": {"replicas": 1}, "status": {"replicas": 1}}

    updated = written(live | {"spec": {"replicas": 2}}, "b", live)
    new = applied(live, deployment(labels={"a": "1"}))

    assert updated["metadata"]["managedFields"] == []
    assert managers(new) == {
        ("a", "Apply"): {"f:metadata": {"f:labels": {"f:a": {}}}},
        ("before-first-apply", "Update"): {"f:spec": {"f:replicas": {}}},
    }


def test_kubectl_takes_over_what_client_side_apply_wrote() -> None:
    text = '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":1}}'
    obj = deployment(annotations={LAST_APPLIED: text}) | {"spec": {"replicas": 1}}
    live = written(obj, "kubectl-client-side-apply")
    config = deployment() | {"spec": {"replicas": 2}}

    new = applied(live, config, "kubectl")

    assert new["spec"]["replicas"] == 2
    assert '"replicas":2' in new["metadata"]["annotations"][LAST_APPLIED]
    with pytest.raises(Conflict):
        applied(live, config, "somebody")


@pytest.mark.parametrize("text", ["{", "[]", '{"spec":1}', '{"spec":{"template":[]}}', "[" * 100_000])
def test_an_annotation_that_cannot_be_read_permits_nothing(text: str) -> None:
    obj = deployment(annotations={LAST_APPLIED: text}) | {"spec": {"replicas": 1}}
    live = written(obj, "kubectl-client-side-apply")

    with pytest.raises(Conflict):
        applied(live, deployment() | {"spec": {"replicas": 2}}, "kubectl")


def test_ten_updaters_are_kept_apart() -> None:
    obj = written(deployment(uid="u") | {"spec": {"replicas": 0}}, "m00")
    for number in range(1, 13):
        changed = copy.deepcopy(obj)
        changed["metadata"].setdefault("labels", {})[f"l{number}"] = "x"
        new = apply.track(
            obj, changed, obj["metadata"]["managedFields"],
            by(f"m{number:02}", f"2026-01-01T00:00:{number:02}Z"), VERSIONS,
        )  # fmt: skip
        changed["metadata"]["managedFields"] = new
        obj = changed

    names = [entry["manager"] for entry in obj["metadata"]["managedFields"]]
    assert len(names) == 10
    assert names[0] == "ancient-changes"
    assert managers(obj)["ancient-changes", "Update"]["f:spec"] == {"f:replicas": {}}


def test_an_empty_entry_stops_the_tracking() -> None:
    live = written(deployment(uid="u") | {"spec": {"replicas": 1}}, "a")

    assert apply.track(live, live, [{}], by("b"), VERSIONS) == []
    assert apply.track(live, live, [], by("b"), VERSIONS) == live["metadata"]["managedFields"]


@pytest.mark.parametrize(
    ("containers", "fault"),
    [
        pytest.param([{"name": "c"}, {"name": "c"}], 'duplicate entries for key [name="c"]', id="twice"),
        pytest.param([{"image": "web:1"}], 'omits key field "name"', id="no-key"),
    ],
)
def test_ambiguous_lists_are_refused(containers: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(ApiError) as refusal:
        applied(None, with_containers(*containers))

    assert refusal.value.message.startswith(
        "failed to create typed patch object (/web; apps/v1, Kind=Deployment): "
    )
    assert fault in refusal.value.message


LABELS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz"), max_size=4)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcdef")},
        optional={"image": st.sampled_from("xyz"), "command": st.lists(st.sampled_from("xy"), max_size=2)},
    ),
    max_size=4,
    unique_by=lambda container: container["name"],
)


def _config(labels: dict[str, str], containers: list[dict[str, Any]]) -> dict[str, Any]:
    return with_containers(*containers) | {"metadata": {"name": "web", "labels": labels}}


CONFIGS = st.builds(_config, LABELS, CONTAINERS)


@given(st.lists(st.tuples(CONFIGS, st.sampled_from("ab")), min_size=1, max_size=4))
def test_applying_again_changes_nothing(steps: list[tuple[dict[str, Any], str]]) -> None:
    live: dict[str, Any] | None = None
    for config, manager in steps:
        live = applied(live, config, manager, force=True)

    config, manager = steps[-1]
    assert applied(live, config, manager) == live


@given(CONFIGS, CONFIGS)
def test_applies_of_disjoint_managers_commute(one: dict[str, Any], two: dict[str, Any]) -> None:
    other = copy.deepcopy(two)
    other["metadata"]["labels"] = {name.upper(): value for name, value in two["metadata"]["labels"].items()}
    for container in other["spec"]["template"]["spec"]["containers"]:
        container["name"] = container["name"].upper()

    forth = applied(applied(None, one, "a"), other, "b")
    back = applied(applied(None, other, "b"), one, "a")

    assert _unordered(forth) == _unordered(back)


def _unordered(obj: dict[str, Any]) -> Any:
    """Items of different managers have no order among themselves."""
    containers = obj["spec"]["template"]["spec"]["containers"]
    by_name = {container["name"]: container for container in containers}
    return obj["metadata"]["labels"], by_name, managers(obj)
