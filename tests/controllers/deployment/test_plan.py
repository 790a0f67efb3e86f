"""Sizes of ReplicaSets in rollouts and scaling, as tables."""

from __future__ import annotations

import pytest

from kplane.api.types import Deployment, ReplicaSet
from kplane.client.codec import codec, encode
from kplane.controllers.deployment import plan
from kplane.controllers.deployment.plan import DESIRED, MAXIMUM
from kplane.testing.objects import make_deployment, make_replicaset


def deployment(replicas: int = 10, surge: int | str = "25%", unavailable: int | str = "25%") -> Deployment:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return codec(Deployment).one(encode(make_deployment(replicas=replicas, strategy=strategy)))


def replicaset(
    name: str, size: int, available: int | None = None, *, desired: int = 0, maximum: int = 0, age: int = 0
) -> ReplicaSet:
    annotations = {DESIRED: str(desired), MAXIMUM: str(maximum)} if desired else {}
    counted = size if available is None else available
    status = {"replicas": size, "availableReplicas": counted}
    body = make_replicaset(name, replicas=size, status=status, annotations=annotations)
    body["metadata"]["creationTimestamp"] = f"2026-01-01T00:{59 - age:02}:00Z"
    return codec(ReplicaSet).one(encode(body))


def sizes(steps: list[plan.Scale]) -> dict[str, int]:
    return {step.rs.metadata.name: step.size for step in steps}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        pytest.param(10, "25%", "25%", (3, 2), id="surge-up-unavailable-down"),
        pytest.param(1, "25%", "25%", (1, 0), id="one-replica"),
        pytest.param(10, 0, 0, (0, 1), id="never-both-zero"),
        pytest.param(3, 0, "10%", (0, 1), id="rounded-to-both-zero"),
        pytest.param(4, 2, 1, (2, 1), id="absolute"),
        pytest.param(2, 0, "200%", (0, 4), id="more-than-all"),
    ],
)
def test_fenceposts(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert plan.fenceposts(deployment(replicas, surge, unavailable)) == expected


def test_unavailable_is_at_most_all_replicas() -> None:
    assert plan.max_unavailable(deployment(2, 0, "200%")) == 2
    assert plan.max_unavailable(deployment(0)) == 0


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param(replicaset("new", 0), replicaset("old", 10), {"new": 3}, id="surge-first"),
        pytest.param(
            replicaset("new", 3, 0), replicaset("old", 10), {"old": 8}, id="then-what-can-be-spared"
        ),
        pytest.param(replicaset("new", 3, 0), replicaset("old", 8), {"new": 5}, id="then-grow-again"),
        pytest.param(replicaset("new", 5, 0), replicaset("old", 8), {}, id="wait-for-the-new"),
        pytest.param(replicaset("new", 5, 5), replicaset("old", 8), {"old": 3}, id="new-available"),
        pytest.param(replicaset("new", 3, 0), replicaset("old", 10, 5), {"old": 8}, id="unhealthy-old-first"),
        pytest.param(replicaset("new", 12), replicaset("old", 0), {"new": 10}, id="too-many-new"),
        pytest.param(replicaset("new", 10), replicaset("old", 0), {}, id="done"),
    ],
)
def test_rolling_step(new: ReplicaSet, old: ReplicaSet, expected: dict[str, int]) -> None:
    assert sizes(plan.rolling(deployment(10), new, [old])) == expected


def test_oldest_sets_shrink_first() -> None:
    older, younger = replicaset("older", 4, age=10), replicaset("younger", 4, age=5)

    steps = plan.rolling(deployment(10, 0, 2), replicaset("new", 2, 2), [younger, older])

    assert sizes(steps) == {"older": 2}


def test_a_rolling_update_never_exceeds_its_limits() -> None:
    target = deployment(10, 3, 2)
    new, old = replicaset("new", 0), replicaset("old", 10)
    for _ in range(50):
        for step in plan.rolling(target, new, [old]):
            changed = replicaset(step.rs.metadata.name, step.size)
            new, old = (changed, old) if step.rs is new else (new, changed)
        assert new.spec.replicas + old.spec.replicas <= 13
        assert new.status.available_replicas + old.status.available_replicas >= 8
    assert (new.spec.replicas, old.spec.replicas) == (10, 0)


@pytest.mark.parametrize(
    ("want", "have", "expected"),
    [
        pytest.param(20, {"new": 5, "old": 8}, {"new": 10, "old": 15}, id="up"),
        pytest.param(5, {"new": 5, "old": 8}, {"new": 3, "old": 4}, id="down"),
        pytest.param(0, {"new": 5, "old": 8}, {"new": 0, "old": 0}, id="to-nothing"),
        pytest.param(10, {"new": 5, "old": 8}, {"new": 5, "old": 8}, id="same"),
    ],
)
def test_scaling_in_the_middle_of_a_rollout_keeps_proportions(
    want: int, have: dict[str, int], expected: dict[str, int]
) -> None:
    new = replicaset("new", have["new"], desired=10, maximum=13)
    old = replicaset("old", have["old"], desired=10, maximum=13, age=5)

    assert sizes(plan.scaling(deployment(want), new, [old])) == expected


def test_scaling_with_one_active_set_gives_it_everything() -> None:
    steps = plan.scaling(deployment(7), replicaset("new", 3, desired=3), [replicaset("old", 0, age=5)])

    assert sizes(steps) == {"new": 7}


def test_scaling_without_active_sets_gives_the_newest_everything() -> None:
    steps = plan.scaling(deployment(7), None, [replicaset("old", 0, age=9), replicaset("newer", 0, age=5)])

    assert sizes(steps) == {"newer": 7}


def test_a_saturated_new_set_ends_the_old_ones() -> None:
    new = replicaset("new", 10, desired=10, maximum=13)

    assert sizes(plan.scaling(deployment(10), new, [replicaset("old", 1, desired=10)])) == {"old": 0}


def test_a_change_of_replicas_is_noticed_by_what_active_sets_remember() -> None:
    sized = replicaset("new", 3, desired=3, maximum=4)

    assert plan.scaling_changed(deployment(5), [sized])
    assert not plan.scaling_changed(deployment(3), [sized])
    assert not plan.scaling_changed(deployment(5), [replicaset("idle", 0, desired=3)])
