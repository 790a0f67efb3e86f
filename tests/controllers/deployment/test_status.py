"""Conditions of a Deployment: what they say, and when their times change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.api.types import Deployment
from kplane.api.types.meta import condition
from kplane.client.codec import codec, encode
from kplane.controllers.deployment import status
from kplane.testing.objects import make_deployment

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLIER = "2026-01-01T11:00:00Z"


def progressing(reason: str, state: str = "True") -> Object:
    times = {"lastUpdateTime": EARLIER, "lastTransitionTime": EARLIER}
    return {"type": "Progressing", "status": state, "reason": reason, "message": "", **times}


def deployment(*conditions: Object, **options: Any) -> Deployment:
    counts = options.pop("counts", {})
    return codec(Deployment).one(
        encode(make_deployment(status={"conditions": list(conditions), **counts}, **options))
    )


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    target = deployment(progressing("NewReplicaSetCreated"))

    (new,) = status.set_condition(
        target.status.conditions, "Progressing", "True", "NewReplicaSetAvailable", "", NOW
    )

    assert new.last_update_time == NOW
    assert new.last_transition_time == NOW - timedelta(hours=1)


def test_a_condition_with_the_same_status_and_reason_is_left_alone() -> None:
    old = deployment(progressing("ReplicaSetUpdated")).status.conditions

    assert status.set_condition(old, "Progressing", "True", "ReplicaSetUpdated", "other words", NOW) == old


@pytest.mark.parametrize(
    ("reason", "deadline", "expected"),
    [
        pytest.param("ReplicaSetUpdated", 600, True, id="too-long-ago"),
        pytest.param("ReplicaSetUpdated", 7200, False, id="still-time"),
        pytest.param("NewReplicaSetAvailable", 600, False, id="was-complete"),
        pytest.param("ProgressDeadlineExceeded", 7200, True, id="stays-timed-out"),
    ],
)
def test_timed_out(reason: str, deadline: int, expected: bool) -> None:
    target = deployment(progressing(reason), progressDeadlineSeconds=deadline)

    assert status.timed_out(target, target.status.conditions, NOW) is expected


def test_a_rollout_without_a_deadline_shows_no_progress() -> None:
    target = deployment(progressing("ReplicaSetUpdated"), progressDeadlineSeconds=None)

    computed = status.rollout(target, [], None, NOW)

    assert condition(computed.conditions, "Progressing") is None


def test_timed_out_rollouts_are_not_shown_as_paused() -> None:
    target = deployment(progressing("ProgressDeadlineExceeded", "False"), paused=True)

    assert status.pause_condition(target, NOW) == target.status.conditions


def test_zero_counts_are_left_out_of_the_status() -> None:
    body = status.body(deployment().status)

    assert body["replicas"] is None
    assert body["readyReplicas"] is None
