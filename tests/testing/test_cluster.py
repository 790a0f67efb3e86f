"""FakeCluster as a test sees it: loaded objects, running informers, time and faults on command."""

from __future__ import annotations

import pytest

from kplane.api.errors import Conflict, Unreachable
from kplane.api.resource import Key
from kplane.api.types import Node, Pod, ReplicaSet, key_of
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.client.writes import TrackedWrites
from kplane.testing import FakeCluster, make_node, make_pod, make_pods, make_replicaset, owner_reference


class Replicator:
    """The smallest controller: as many Pods as the ReplicaSet wants."""

    name = "replicator"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._events = ctx.events
        self._sets = ctx.informer(ReplicaSet)
        self._pods = ctx.informer(Pod)
        self._writes = TrackedWrites(ctx.client, self._pods, ctx.clock)
        self._sets.on_change(ctx.queue.wake)
        self._pods.on_change(ctx.queue.wake_owner)

    async def reconcile(self, key: Key) -> Requeue | None:
        rs = self._sets.get(key)
        if rs is None:
            return None
        if wait := self._writes.unsettled(key):
            return Requeue(after=wait)
        pods = self._pods.owned_by(rs.metadata.uid)
        for _ in range(len(pods), rs.spec.replicas):
            metadata = {"generateName": f"{key.name}-", "ownerReferences": [owner_reference(rs)]}
            pod = await self._writes.create(key, {"metadata": metadata, "spec": {}}, key.namespace)
            self._events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")
        for pod in pods[rs.spec.replicas :]:
            await self._writes.delete(key, pod)
        return None


@pytest.mark.parametrize(
    ("want", "have"),
    [pytest.param(3, 1, id="grow"), pytest.param(1, 3, id="shrink"), pytest.param(2, 2, id="settled")],
)
async def test_one_reconcile_sees_what_was_loaded(cluster: FakeCluster, want: int, have: int) -> None:
    rs = make_replicaset(replicas=want)
    cluster.load(rs, *make_pods(have, owner=rs))

    await Replicator(cluster.context()).reconcile(key_of(rs))

    assert len(cluster.list(Pod)) == want


async def test_running_controller_follows_changes(cluster: FakeCluster) -> None:
    ctx = cluster.context()
    controller = Replicator(ctx)
    cluster.start(ctx.queue.run(controller.reconcile))
    cluster.load(make_replicaset(replicas=2))
    await cluster.settle()
    assert len(cluster.list(Pod)) == 2

    await cluster.client().patch(ReplicaSet, "web", "default", {"spec": {"replicas": 5}})
    await cluster.settle()

    assert len(cluster.list(Pod)) == 5


async def test_a_lagging_cache_does_not_create_twice(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=2))
    controller = Replicator(cluster.context())
    cluster.hold_watches()

    await controller.reconcile(Key("default", "web"))
    again = await controller.reconcile(Key("default", "web"))

    assert again is not None
    assert len(cluster.list(Pod)) == 2
    cluster.release_watches()
    await cluster.settle()
    assert await controller.reconcile(Key("default", "web")) is None
    assert len(cluster.list(Pod)) == 2


async def test_events_are_there_at_once(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset(replicas=1))

    await Replicator(cluster.context()).reconcile(Key("default", "web"))

    event = cluster.events()[0]
    assert (event.type, event.reason, event.involved_object.name) == ("Normal", "SuccessfulCreate", "web")


async def test_failing_writes_fail_as_often_as_asked(cluster: FakeCluster) -> None:
    cluster.faults.fail_next(Conflict("no"), times=2, plural="nodes")
    client = cluster.client()

    for _ in range(2):
        with pytest.raises(Conflict):
            await client.create(Node, make_node())
    await client.create(Node, make_node())

    assert len(cluster.list(Node)) == 1


async def test_a_lost_answer_leaves_its_effect(cluster: FakeCluster) -> None:
    cluster.faults.lose_next_answers()

    with pytest.raises(Unreachable):
        await cluster.client().create(Node, make_node())

    assert len(cluster.list(Node)) == 1


@pytest.mark.parametrize("compacted", [False, True])
async def test_informers_recover_from_broken_watches(cluster: FakeCluster, compacted: bool) -> None:
    pods = cluster.context().informer(Pod)
    await cluster.settle()

    cluster.drop_watches()
    cluster.load(*make_pods(3))
    if compacted:
        cluster.compact()
    await cluster.settle()

    assert len(pods.list()) == 3


async def test_bound_pod_terminates_gracefully(cluster: FakeCluster) -> None:
    cluster.load(make_pod("bound", node="node-1"), make_pod("unbound"))
    client = cluster.client()

    await client.delete(Pod, "bound", "default")
    await client.delete(Pod, "unbound", "default")

    left = cluster.list(Pod)
    assert [pod.metadata.name for pod in left] == ["bound"]
    assert left[0].metadata.deletion_grace_period_seconds == 30
