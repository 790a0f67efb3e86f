"""Revisions and clean-up of old ReplicaSets."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.types import Deployment, ReplicaSet
from kplane.client.codec import codec, encode
from kplane.controllers.deployment.history import (
    HISTORY,
    REVISION,
    new_set_annotations,
    next_revision,
    superfluous,
)  # fmt: skip
from kplane.testing.objects import make_deployment, make_replicaset


def deployment(**options: Any) -> Deployment:
    return codec(Deployment).one(encode(make_deployment(**options)))


def revision(number: int, **options: Any) -> ReplicaSet:
    body = make_replicaset(f"web-{number}", annotations={REVISION: str(number)}, **{"replicas": 0, **options})
    body["status"] |= {"observedGeneration": 1}
    return codec(ReplicaSet).one(encode(body))


def test_the_next_revision_follows_the_highest() -> None:
    assert next_revision([revision(2), revision(7)]) == 8
    assert next_revision([]) == 1


@pytest.mark.parametrize(
    ("present", "number", "expected"),
    [
        pytest.param({}, 1, {REVISION: "1"}, id="new"),
        pytest.param({REVISION: "1"}, 3, {REVISION: "3", HISTORY: "1"}, id="rolled-back-to"),
        pytest.param({REVISION: "3", HISTORY: "1"}, 5, {REVISION: "5", HISTORY: "1,3"}, id="again"),
        pytest.param({REVISION: "4"}, 3, {REVISION: "4"}, id="never-lower"),
        pytest.param({REVISION: "9" * 5000}, 3, {REVISION: "9" * 5000}, id="nonsense-stays"),
    ],
)
def test_revision_annotations(present: dict[str, str], number: int, expected: dict[str, str]) -> None:
    assert new_set_annotations(deployment(), present, number) == expected


def test_a_sets_annotations_follow_the_deployments_but_for_what_is_not_its_business() -> None:
    own = {"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}", REVISION: "9"}

    assert new_set_annotations(deployment(annotations=own), {}, 1) == {"team": "a", REVISION: "1"}


def test_the_history_drops_the_oldest_when_it_gets_too_long() -> None:
    long = ",".join(str(number) for number in range(1000, 1400))

    annotations = new_set_annotations(deployment(), {REVISION: "1400", HISTORY: long}, 1402)

    assert len(annotations[HISTORY]) <= 2000
    assert annotations[HISTORY].endswith(",1399,1400")


@pytest.mark.parametrize(
    ("limit", "doomed"),
    [
        pytest.param(1, ["web-1", "web-2"], id="oldest-go"),
        pytest.param(0, ["web-1", "web-2", "web-3"], id="all-go"),
        pytest.param(5, [], id="room-left"),
        pytest.param(None, [], id="no-limit"),
    ],
)
def test_sets_beyond_the_limit_are_superfluous(limit: int | None, doomed: list[str]) -> None:
    old = [revision(3), revision(1), revision(2)]

    found = superfluous(deployment(revisionHistoryLimit=limit), old)

    assert [rs.metadata.name for rs in found] == doomed


def test_sets_with_pods_are_kept() -> None:
    busy = [revision(1, replicas=2), revision(2, status={"replicas": 1})]

    assert superfluous(deployment(revisionHistoryLimit=0), busy) == []
