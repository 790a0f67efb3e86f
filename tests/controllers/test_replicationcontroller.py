"""ReplicationController: what a ReplicaSet does, for its own kind, selector and status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.apps import ReplicationController
from kplane.controllers.replicationcontroller import ReplicationControllerController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, make_object, make_pod, make_pods, make_template

KEY = Key("default", "web")
WHOLE = ReplicationController.API.as_type(dict)


def make_rc(*, replicas: int = 1, **spec: Any) -> Object:
    whole = {"replicas": replicas, "selector": dict(APP), "template": make_template(), **spec}
    return make_object("v1", "ReplicationController", "web", "default", spec=whole, status={"replicas": 0})


def run(cluster: FakeCluster) -> None:
    context = cluster.context("replicationcontroller-controller")
    cluster.start(context.queue.run(ReplicationControllerController(context).reconcile))


def pods(cluster: FakeCluster) -> list[Pod]:
    return [pod for pod in cluster.list(Pod) if pod.metadata.controller]


@pytest.mark.parametrize(
    ("want", "have"),
    [pytest.param(3, 1, id="grow"), pytest.param(1, 3, id="shrink"), pytest.param(2, 2, id="settled")],
)
async def test_reconcile_brings_pod_count_to_spec(cluster: FakeCluster, want: int, have: int) -> None:
    rc = make_rc(replicas=want)
    cluster.load(rc, *make_pods(have, owner=rc))

    await ReplicationControllerController(cluster.context()).reconcile(KEY)

    assert len(pods(cluster)) == want
    owner = pods(cluster)[0].metadata.controller
    assert owner is not None
    assert (owner.api_version, owner.kind) == ("v1", "ReplicationController")


async def test_only_pods_that_its_selector_matches_are_adopted_and_kept(cluster: FakeCluster) -> None:
    rc = make_rc(replicas=2)
    other = {"app": "db"}
    cluster.load(
        rc, make_pod("stray"), make_pod("db", labels=other), make_pod("left", labels=other, owner=rc)
    )

    await ReplicationControllerController(cluster.context()).reconcile(KEY)

    names = {pod.metadata.name for pod in pods(cluster)}
    assert "stray" in names
    assert not names & {"db", "left"}
    assert len(names) == 2


async def test_status_has_what_the_kind_has_and_is_written_once(cluster: FakeCluster) -> None:
    rc = make_rc(replicas=2)
    cluster.load(rc, *make_pods(2, owner=rc, ready=True))
    run(cluster)
    await cluster.settle()
    before = cluster.get(WHOLE, KEY)

    cluster.load(make_pod("unrelated", labels={"app": "db"}))
    await cluster.advance(3600)

    assert before is not None
    assert before["status"] == {
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "fullyLabeledReplicas": 2,
        "observedGeneration": 1,
    }
    assert cluster.get(WHOLE, KEY) == before


async def test_a_refused_creation_shows_in_events_and_status(cluster: FakeCluster) -> None:
    cluster.load(make_rc(replicas=1))
    controller = ReplicationControllerController(cluster.context())
    cluster.faults.fail_next(Forbidden("exceeded quota"), plural="pods")

    with pytest.raises(Forbidden):
        await controller.reconcile(KEY)

    stored = cluster.get(ReplicationController, KEY)
    assert stored is not None
    assert [(entry.type, entry.reason) for entry in stored.status.conditions] == [
        ("ReplicaFailure", "FailedCreate")
    ]
    assert [event.message for event in cluster.events()] == ["Error creating: exceeded quota"]


@pytest.mark.parametrize("seed", range(4))
async def test_failing_writes_end_in_exactly_the_wanted_pods(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_rc(replicas=6), make_pod("stray"))
        run(cluster)
        for _ in range(8):
            if dice.uniform(0, 1) > 0.5:
                cluster.faults.fail_next(InternalError("broken"), times=2)
            else:
                cluster.faults.lose_next_answers(times=2, plural="pods")
            await cluster.advance(dice.uniform(0, 3))
            cluster.drop_watches()
        await cluster.advance(timedelta(hours=1).total_seconds())

        assert len(pods(cluster)) == len(cluster.list(Pod)) == 6
