"""What DELETE does to an object, case by case."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.apiserver.registry.deletion import DeleteOptions, Outcome, finished, plan
from kplane.apiserver.registry.strategy import Strategy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EARLIER = {"deletionTimestamp": "2026-01-02T03:04:00Z", "deletionGracePeriodSeconds": 0}


class Graceful(Strategy):
    graceful = True

    def grace_period(self, obj: dict[str, Any], asked: int | None) -> int:
        return 30 if asked is None else asked


class Orphaning(Strategy):
    orphans_by_default = True


class Uncollected(Strategy):
    collectable = False


def thing(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "generation": 1, **metadata}}


@pytest.mark.parametrize(
    ("strategy", "obj", "options", "outcome"),
    [
        pytest.param(Strategy(), thing(), DeleteOptions(), Outcome.REMOVE, id="plain"),
        pytest.param(Strategy(), thing(finalizers=["a.b/c"]), DeleteOptions(), Outcome.MARK, id="finalizer"),
        pytest.param(Strategy(), thing(finalizers=["a.b/c"], **EARLIER), DeleteOptions(), Outcome.WAIT,
            id="finalizer-again"),
        pytest.param(Strategy(), thing(), DeleteOptions(propagation="Foreground"), Outcome.MARK,
            id="foreground"),
        pytest.param(Uncollected(), thing(), DeleteOptions(propagation="Foreground"), Outcome.REMOVE,
            id="foreground-of-what-is-not-collected"),
        pytest.param(Orphaning(), thing(), DeleteOptions(), Outcome.MARK, id="orphans-by-default"),
        pytest.param(Orphaning(), thing(), DeleteOptions(propagation="Background"), Outcome.REMOVE,
            id="background-overrides"),
        pytest.param(Strategy(), thing(finalizers=["foregroundDeletion"]),
            DeleteOptions(propagation="Background"), Outcome.REMOVE, id="background-drops-foreground"),
        pytest.param(Graceful(), thing(), DeleteOptions(), Outcome.MARK, id="grace"),
        pytest.param(Graceful(), thing(), DeleteOptions(grace_seconds=0), Outcome.REMOVE, id="no-grace"),
        pytest.param(Graceful(), thing(finalizers=["a.b/c"]), DeleteOptions(grace_seconds=0), Outcome.MARK,
            id="no-grace-but-finalizer"),
        pytest.param(Graceful(), thing(**EARLIER | {"deletionGracePeriodSeconds": 30}), DeleteOptions(),
            Outcome.WAIT, id="grace-runs"),
        pytest.param(Graceful(), thing(**EARLIER | {"deletionGracePeriodSeconds": 30}),
            DeleteOptions(grace_seconds=5), Outcome.MARK, id="grace-shortened"),
        pytest.param(Graceful(), thing(**EARLIER | {"deletionGracePeriodSeconds": 30}),
            DeleteOptions(grace_seconds=0), Outcome.REMOVE, id="grace-ended"),
    ],
)  # fmt: skip
def test_an_object_is_removed_marked_or_left(
    strategy: Strategy, obj: dict[str, Any], options: DeleteOptions, outcome: Outcome
) -> None:
    assert plan(obj, strategy, options, NOW) is outcome


def test_marking_sets_the_deadline_and_counts_as_a_change() -> None:
    obj = thing()

    plan(obj, Graceful(), DeleteOptions(grace_seconds=40), NOW)

    assert obj["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:45Z"
    assert (obj["metadata"]["deletionGracePeriodSeconds"], obj["metadata"]["generation"]) == (40, 2)


def test_a_deadline_that_runs_moves_forward() -> None:
    obj = thing(deletionTimestamp="2026-01-02T03:05:00Z", deletionGracePeriodSeconds=60)

    plan(obj, Graceful(), DeleteOptions(grace_seconds=10), NOW)

    assert obj["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:10Z"
    assert (obj["metadata"]["deletionGracePeriodSeconds"], obj["metadata"]["generation"]) == (10, 1)


@pytest.mark.parametrize(
    ("new", "old", "done"),
    [
        pytest.param(thing(), thing(finalizers=["a.b/c"], **EARLIER), True, id="last-finalizer"),
        pytest.param(thing(finalizers=["d.e/f"]), thing(**EARLIER), False, id="one-left"),
        pytest.param(thing(), thing(finalizers=["a.b/c"]), False, id="not-deleted"),
        pytest.param(thing(), thing(**EARLIER | {"deletionGracePeriodSeconds": 9}), False, id="grace-runs"),
    ],
)
def test_an_update_finishes_a_deletion(new: dict[str, Any], old: dict[str, Any], done: bool) -> None:
    assert finished(new, old, Strategy()) is done
