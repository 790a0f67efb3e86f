"""Which daemon Pods are replaced next, decided from what there is on each node."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kplane.api.types import Node, Pod
from kplane.api.types.apps import DaemonSet
from kplane.controllers.daemonset.backoff import FIRST, LONGEST, FailedPods
from kplane.controllers.daemonset.plan import Fleet
from kplane.controllers.daemonset.rollout import limits, rolling
from kplane.testing.objects import APP, as_view, make_node, make_object, make_pod, make_template

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def make_set(surge: int | str, unavailable: int | str) -> DaemonSet:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    template = make_template()
    template["spec"]["nodeSelector"] = {"disk": "ssd"}
    spec = {"selector": {"matchLabels": dict(APP)}, "template": template, "updateStrategy": strategy}
    return as_view(DaemonSet, make_object("apps/v1", "DaemonSet", "agent", "default", spec=spec))


def make_fleet(surge: int | str, unavailable: int | str, picture: str) -> Fleet:
    """A word per node: O and N are available Pods of the old and new template, o and n are not ready, `.` is
    no Pod, and `x` makes the node one that should have none."""
    words = picture.split()
    nodes = [
        as_view(Node, make_node(str(at), labels={} if "x" in word else {"disk": "ssd"}))
        for at, word in enumerate(words)
    ]
    pods = [_pod(at, letter) for at, word in enumerate(words) for letter in word if letter in "OoNn"]
    return Fleet.of(make_set(surge, unavailable), "new", nodes, pods, NOW)


def _pod(at: int, letter: str) -> Pod:
    labels = {**APP, "controller-revision-hash": "new" if letter in "Nn" else "old"}
    ready = letter in "ON"
    return as_view(Pod, make_pod(f"{letter}{at}", labels=labels, node=str(at), ready=ready))


@pytest.mark.parametrize(
    ("unavailable", "picture", "deleted"),
    [
        pytest.param(1, "O O O", ["O0"], id="one"),
        pytest.param("50%", "O O O", ["O0", "O1"], id="shares-round-up"),
        pytest.param(1, "n O O", [], id="waits-for-the-new-one"),
        pytest.param(1, ". O O", [], id="an-empty-node-counts"),
        pytest.param(2, "n O O", ["O1"], id="room-for-one-more"),
        pytest.param(1, "o o O", ["o0", "o1"], id="those-that-are-down-anyway"),
        pytest.param(1, "N N N", [], id="done"),
    ],
)
def test_old_pods_go_as_far_as_may_be_unavailable(
    unavailable: int | str, picture: str, deleted: list[str]
) -> None:
    step = rolling(make_fleet(0, unavailable, picture))

    assert [pod.metadata.name for pod in step.delete] == deleted
    assert step.create == []


@pytest.mark.parametrize(
    ("surge", "picture", "created", "deleted"),
    [
        pytest.param(1, "O O O", ["0"], [], id="one"),
        pytest.param("50%", "O O O", ["0", "1"], [], id="shares-round-up"),
        pytest.param(1, "On O O", [], [], id="waits-for-the-new-one"),
        pytest.param(1, "ON O O", ["1"], ["O0"], id="the-old-one-goes"),
        pytest.param(1, "o o O", ["0", "1", "2"], [], id="those-that-are-down-get-theirs-at-once"),
        pytest.param(1, "Ox n", [], [], id="one-that-has-to-leave-stays-while-it-is-needed"),
        pytest.param(1, "Ox N", [], ["O0"], id="one-that-has-to-leave-goes-when-others-stand-in"),
        pytest.param(1, "ox N", [], ["o0"], id="a-sick-one-that-has-to-leave"),
    ],
)
def test_new_pods_come_beside_old_ones(
    surge: int | str, picture: str, created: list[str], deleted: list[str]
) -> None:
    step = rolling(make_fleet(surge, 0, picture))

    assert (step.create, [pod.metadata.name for pod in step.delete]) == (created, deleted)


def test_one_pod_may_be_unavailable_where_nothing_is_allowed() -> None:
    assert limits(make_set(0, 0), 10) == (0, 1)


def test_back_off_doubles_up_to_its_limit_and_begins_anew_after_a_long_peace() -> None:
    failures, now, waits = FailedPods(), 0.0, []
    for _ in range(13):
        failures.replaced("node", now)
        waits.append(failures.left("node", now))
        now += waits[-1]

    failures.replaced("node", now + 2 * LONGEST + 1)

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST
    assert failures.left("node", now + 2 * LONGEST + 1) == FIRST
    assert failures.left("other", now) == 0
