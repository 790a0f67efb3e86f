"""The order in which a StatefulSet creates, deletes and updates, decided from what it sees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.apps import StatefulSet
from kplane.controllers.statefulset.identity import ordinal_of, parse
from kplane.controllers.statefulset.plan import Plan, max_unavailable, plan
from kplane.testing.objects import APP, as_view, make_object, make_pod

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OLD, NEW = "web-old", "web-new"


def make_set(replicas: int, **spec: Any) -> StatefulSet:
    return as_view(
        StatefulSet,
        make_object("apps/v1", "StatefulSet", "web", "default", spec={"replicas": replicas, **spec}),
    )


def pods(picture: str) -> list[Pod]:
    """A letter per ordinal: O and N are healthy Pods of the old and new revision, o and n are not ready, t is
    going, f has failed, a dot is missing."""
    return [_pod(ordinal, letter) for ordinal, letter in enumerate(picture) if letter != "."]


def _pod(ordinal: int, letter: str) -> Pod:
    labels = {**APP, "controller-revision-hash": NEW if letter in "Nn" else OLD}
    phases = {"f": "Failed", "t": "Running"}
    body: Object = make_pod(
        f"web-{ordinal}", labels=labels, ready=letter in "ON", phase=phases.get(letter, "Running")
    )
    if letter == "t":
        body["metadata"]["deletionTimestamp"] = "2026-05-31T00:00:00Z"
    return as_view(Pod, body)


def ordinals(found: list[Pod]) -> list[int]:
    return [ordinal_of(pod) for pod in found]


def shown(step: Plan) -> str:
    parts = {
        "restart": ordinals(step.restart),
        "create": step.create,
        "delete": ordinals(step.delete),
        "update": ordinals(step.update),
    }
    return " ".join(f"{verb}={','.join(map(str, chosen))}" for verb, chosen in parts.items() if chosen)


@pytest.mark.parametrize(
    ("replicas", "picture", "expected"),
    [
        pytest.param(3, "...", "create=0", id="the-first"),
        pytest.param(3, "N.N", "create=1", id="a-gap"),
        pytest.param(3, "n..", "", id="waits-until-ready"),
        pytest.param(3, "t..", "", id="waits-until-gone"),
        pytest.param(3, "Nf.", "restart=1", id="one-that-ended-first"),
        pytest.param(1, "NNN", "delete=2", id="the-highest"),
        pytest.param(1, "NNt", "", id="one-at-a-time"),
        pytest.param(1, "NNn", "delete=2", id="the-first-sick-one-may-go"),
        pytest.param(1, "Nnn", "", id="a-sick-one-waits-for-sick-ones-below"),
        pytest.param(1, "nNN", "", id="shrinks-only-when-the-rest-is-healthy"),
        pytest.param(2, "OOO", "delete=2", id="scaling-before-updating"),
        pytest.param(3, "OOO", "update=2", id="update-from-the-top"),
        pytest.param(3, "OON", "update=1", id="update-the-next"),
        pytest.param(3, "OOn", "", id="update-waits-for-the-last"),
        pytest.param(0, "N", "delete=0", id="to-nothing"),
    ],
)
def test_an_ordered_set_takes_one_step_at_a_time(replicas: int, picture: str, expected: str) -> None:
    assert shown(plan(make_set(replicas), pods(picture), NEW, NOW)) == expected


@pytest.mark.parametrize(
    ("limit", "picture", "expected"),
    [
        pytest.param(1, "OOO", "update=2", id="one"),
        pytest.param(2, "OOOO", "update=3,2", id="two"),
        pytest.param("50%", "OOOO", "update=3,2", id="share"),
        pytest.param(2, "OOOn", "update=2", id="one-is-settling"),
        pytest.param(2, "OOnn", "", id="a-revision-that-does-not-work-stops"),
        pytest.param(2, "OOOt", "update=2", id="one-is-going"),
        pytest.param(1, "oOO", "update=0", id="one-that-is-down-anyway-goes-first"),
        pytest.param(2, "oOO", "update=0,2", id="one-that-is-down-and-one-more"),
        pytest.param(1, "oooo", "update=3,2,1,0", id="a-broken-revision-is-replaced-at-once"),
        pytest.param(1, "ooON", "update=1,0", id="what-is-down-goes-beyond-the-limit"),
        pytest.param(1, "..", "create=0,1", id="creates-all-at-once"),
    ],
)
def test_a_parallel_set_updates_as_many_as_may_be_unavailable(
    limit: int | str, picture: str, expected: str
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": limit}}
    sts = make_set(len(picture), podManagementPolicy="Parallel", updateStrategy=strategy)

    assert shown(plan(sts, pods(picture), NEW, NOW)) == expected


def test_a_parallel_set_shrinks_at_once() -> None:
    sts = make_set(1, podManagementPolicy="Parallel")

    assert shown(plan(sts, pods("NnNt"), NEW, NOW)) == "delete=2,1"


def test_pods_before_the_first_ordinal_are_condemned() -> None:
    sts = make_set(2, ordinals={"start": 1})

    assert shown(plan(sts, pods("NNN"), NEW, NOW)) == "delete=0"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 1), (3, 3), ("10%", 1), ("29%", 2), ("100%", 10)],
)
def test_a_share_of_unavailable_pods_rounds_down_to_at_least_one(
    value: int | str | None, expected: int
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": value}}

    assert max_unavailable(make_set(10, updateStrategy=strategy)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-0", ("web", 0)),
        ("my-web-12", ("my-web", 12)),
        ("web", ("", -1)),
        ("web-x", ("", -1)),
        ("web-99999999999", ("", -1)),
    ],
)
def test_a_pods_name_tells_its_set_and_ordinal(name: str, expected: tuple[str, int]) -> None:
    assert parse(name) == expected
