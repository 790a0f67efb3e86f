"""ReplicaSet: pods are created, deleted, adopted, released and counted, whatever fails in between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod, ReplicaSet
from kplane.controllers.replicaset import BURST, MANY, ReplicaSetController, plan
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod, make_pods, make_replicaset

from .steps import Steps

KEY = Key("default", "web")


def run(cluster: FakeCluster) -> None:
    """A ReplicaSet controller as the manager runs it."""
    context = cluster.context("replicaset-controller")
    controller = ReplicaSetController(context)
    cluster.start(context.queue.run(controller.reconcile))


def pods(cluster: FakeCluster) -> list[Pod]:
    return [pod for pod in cluster.list(Pod) if pod.metadata.controller]


def stored(cluster: FakeCluster) -> ReplicaSet:
    rs = cluster.get(ReplicaSet, KEY)
    assert rs is not None
    return rs


@pytest.mark.parametrize(
    ("want", "have"),
    [
        pytest.param(3, 1, id="grow"),
        pytest.param(1, 3, id="shrink"),
        pytest.param(2, 2, id="settled"),
        pytest.param(0, 2, id="to-nothing"),
    ],
)
async def test_reconcile_brings_pod_count_to_spec(cluster: FakeCluster, want: int, have: int) -> None:
    rs = make_replicaset(replicas=want)
    cluster.load(rs, *make_pods(have, owner=rs))

    await ReplicaSetController(cluster.context()).reconcile(KEY)

    assert len(pods(cluster)) == want


async def test_new_pods_follow_the_template_and_name_their_owner(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=1))

    await ReplicaSetController(cluster.context()).reconcile(KEY)

    (pod,) = pods(cluster)
    owner = pod.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.api_version, owner.name) == ("ReplicaSet", "apps/v1", "web")
    assert owner.block_owner_deletion
    assert pod.metadata.generate_name == "web-"
    assert pod.metadata.labels == {"app": "web"}
    assert [container.image for container in pod.spec.containers] == ["web:1"]


async def test_creation_and_deletion_are_told_as_events(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=1), make_replicaset("old", replicas=0, labels={"app": "old"}))
    cluster.load(*make_pods(1, owner=make_replicaset("old"), labels={"app": "old"}))
    controller = ReplicaSetController(cluster.context())

    await controller.reconcile(KEY)
    await controller.reconcile(Key("default", "old"))

    (pod,) = pods(cluster)
    told = {(event.reason, event.message) for event in cluster.events()}
    assert told == {
        ("SuccessfulCreate", f"Created pod: {pod.metadata.name}"),
        ("SuccessfulDelete", "Deleted pod: old-0"),
    }


async def test_nobody_is_told_that_a_pod_was_deleted_which_had_gone(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=0)
    cluster.load(rs, *make_pods(1, owner=rs))
    controller = ReplicaSetController(cluster.context())
    cluster.hold_watches()
    cluster.delete(Pod, pods(cluster)[0].key)

    await controller.reconcile(KEY)

    assert cluster.events() == []


async def test_own_pods_are_not_created_twice_while_the_cache_lags(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=3))
    controller = ReplicaSetController(cluster.context())
    cluster.hold_watches()

    await controller.reconcile(KEY)
    outcome = await controller.reconcile(KEY)

    assert outcome is not None
    assert outcome.after > 0
    assert len(pods(cluster)) == 3


async def test_matching_orphans_are_adopted(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=2), make_pod("stray"), make_pod("other", labels={"app": "db"}))

    await ReplicaSetController(cluster.context()).reconcile(KEY)

    assert {pod.metadata.name for pod in pods(cluster)} > {"stray"}
    assert len(pods(cluster)) == 2


async def test_an_orphan_that_turns_up_later_is_adopted_and_one_too_many_goes(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=2))
    run(cluster)
    await cluster.settle()

    cluster.load(make_pod("stray"))
    await cluster.settle()

    assert len(cluster.list(Pod)) == len(pods(cluster)) == 2


async def test_pods_that_no_longer_match_are_released_and_replaced(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=1)
    cluster.load(rs, make_pod("left", labels={"app": "debug"}, owner=rs))

    await ReplicaSetController(cluster.context()).reconcile(KEY)

    left = cluster.get(Pod, Key("default", "left"))
    assert left is not None
    assert left.metadata.owner_references == ()
    assert len(pods(cluster)) == 1


async def test_a_set_that_is_being_deleted_leaves_its_pods_alone(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=3, finalizers=["foregroundDeletion"])
    rs["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(rs, *make_pods(1, owner=rs))

    await ReplicaSetController(cluster.context()).reconcile(KEY)

    assert len(pods(cluster)) == 1


async def test_status_counts_pods(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=3, minReadySeconds=10)
    fresh = make_pod("fresh", owner=rs, ready=True)
    fresh["status"]["conditions"][0]["lastTransitionTime"] = rfc3339(cluster.clock.now())
    proven = make_pod("proven", owner=rs, ready=True)
    proven["status"]["conditions"][0]["lastTransitionTime"] = "2025-12-31T00:00:00Z"
    leaving = make_pod("leaving", owner=rs)
    leaving["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(rs, fresh, proven, make_pod("waiting", owner=rs), leaving)

    outcome = await ReplicaSetController(cluster.context()).reconcile(KEY)

    status = stored(cluster).status
    assert (status.replicas, status.ready_replicas, status.available_replicas) == (3, 2, 1)
    assert (status.fully_labeled_replicas, status.terminating_replicas) == (3, 1)
    assert status.observed_generation == 1
    assert outcome is not None
    assert outcome.after == 10


async def test_a_pod_becomes_available_when_its_time_has_come(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=1, minReadySeconds=10)
    pod = make_pod("fresh", owner=rs, ready=True)
    pod["status"]["conditions"][0]["lastTransitionTime"] = rfc3339(cluster.clock.now())
    cluster.load(rs, pod)
    run(cluster)

    await cluster.advance(9)
    early = stored(cluster).status.available_replicas
    await cluster.advance(2)

    assert (early, stored(cluster).status.available_replicas) == (0, 1)


async def test_a_refused_creation_shows_in_events_and_status_and_goes_away(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=3))
    context = cluster.context()
    controller = ReplicaSetController(context)
    cluster.faults.fail_next(Forbidden("exceeded quota: pods=0"), plural="pods")

    with pytest.raises(Forbidden):
        await controller.reconcile(KEY)
    await cluster.settle()

    (failure,) = stored(cluster).status.conditions
    assert (failure.type, failure.reason) == ("ReplicaFailure", "FailedCreate")
    assert [event.message for event in cluster.events()] == ["Error creating: exceeded quota: pods=0"]

    await controller.reconcile(KEY)
    await cluster.settle()
    await controller.reconcile(KEY)
    assert stored(cluster).status.conditions == ()
    assert len(pods(cluster)) == 3


def test_at_most_a_burst_is_created_at_once(cluster: FakeCluster) -> None:
    assert plan(2 * BURST, [], [], cluster.clock.now()).create == BURST


async def test_status_is_not_written_where_nothing_changed(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=2))
    run(cluster)
    await cluster.settle()
    before = stored(cluster).metadata.resource_version

    cluster.load(make_pod("unrelated", labels={"app": "db"}))
    await cluster.advance(3600)

    assert stored(cluster).metadata.resource_version == before


@pytest.mark.parametrize("seed", range(8))
async def test_failing_writes_end_in_exactly_the_wanted_pods(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_replicaset(replicas=7), make_pod("stray"))
        run(cluster)
        for _ in range(12):
            _break_something(cluster, dice)
            await cluster.advance(dice.uniform(0, 2))
            _scale(cluster, int(dice.uniform(0, 9)))
        _scale(cluster, 5)
        await cluster.advance(timedelta(hours=1).total_seconds())

        assert len(pods(cluster)) == 5
        assert stored(cluster).status.replicas == 5
        assert stored(cluster).status.conditions == ()


@pytest.mark.parametrize("seed", range(4))
async def test_a_restart_between_writes_loses_and_doubles_nothing(seed: int) -> None:
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_replicaset(replicas=6))
        first = ReplicaSetController(cluster.context())
        cluster.faults.fail_next(InternalError("gone in the middle"), times=1 + seed, plural="pods")
        with pytest.raises(InternalError):
            await first.reconcile(KEY)

        run(cluster)
        await cluster.advance(3600)

        assert len(pods(cluster)) == 6


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "lose", "drop", "quiet"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=2)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2, plural="pods")
    elif kind == "drop":
        cluster.drop_watches()


def _scale(cluster: FakeCluster, replicas: int) -> None:
    resource = ReplicaSet.API.as_type(dict)
    rs: Object | None = cluster.get(resource, KEY)
    assert rs is not None
    metadata = rs["metadata"] | {"generation": rs["metadata"]["generation"] + 1}
    cluster.load(rs | {"metadata": metadata, "spec": rs["spec"] | {"replicas": replicas}})


async def test_changes_of_many_pods_cost_few_steps(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=MANY)
    cluster.load(rs, *make_pods(MANY, owner=rs))
    context = cluster.context("replicaset-controller")
    steps = Steps(cluster, context, ReplicaSetController(context))
    await cluster.advance(1)
    steps.taken = 0
    for pod in pods(cluster):
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await cluster.client().patch(Pod, pod.metadata.name, "default", ready, subresource="status")
        await cluster.advance(0.001)
    await cluster.advance(1)

    assert stored(cluster).status.ready_replicas == MANY
    assert steps.taken < MANY / 2
