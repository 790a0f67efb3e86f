"""TrackedWrites: a controller is told to wait until the cache shows what it has written."""

from __future__ import annotations

import pytest

from kplane.api.errors import Forbidden, Unreachable
from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.client.informer import Informer
from kplane.client.writes import TrackedWrites
from kplane.testing import FakeCluster, make_pod

OWNER, OTHER = Key("default", "web"), Key("default", "db")
BODY = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new"}, "spec": {}}


@pytest.fixture
async def pods(cluster: FakeCluster) -> Informer[Pod]:
    """A cache that lags until the watches are released."""
    cluster.load(make_pod("old"), make_pod("bound", node="node-1"))
    informer = cluster.context().informer(Pod)
    await cluster.settle()
    cluster.hold_watches()
    return informer


@pytest.fixture
def writes(cluster: FakeCluster, pods: Informer[Pod]) -> TrackedWrites[Pod]:
    return TrackedWrites(cluster.client(), pods, cluster.clock)


async def catch_up(cluster: FakeCluster) -> None:
    cluster.release_watches()
    await cluster.settle()


async def test_nothing_written_is_settled(writes: TrackedWrites[Pod]) -> None:
    assert writes.unsettled(OWNER) is None


async def test_create_is_unsettled_until_the_cache_shows_it(
    cluster: FakeCluster, writes: TrackedWrites[Pod]
) -> None:
    await writes.create(OWNER, BODY, "default")

    assert writes.unsettled(OWNER) == 300
    assert writes.unsettled(OTHER) is None
    await catch_up(cluster)
    assert writes.unsettled(OWNER) is None


async def test_create_of_what_came_and_went_is_settled(
    cluster: FakeCluster, writes: TrackedWrites[Pod]
) -> None:
    await writes.create(OWNER, BODY, "default")
    cluster.delete(Pod, Key("default", "new"))

    await catch_up(cluster)

    assert writes.unsettled(OWNER) is None


@pytest.mark.parametrize("name", ["old", "bound"])
async def test_delete_is_unsettled_until_the_cache_shows_it(
    cluster: FakeCluster, pods: Informer[Pod], writes: TrackedWrites[Pod], name: str
) -> None:
    assert await writes.delete(OWNER, pods.get(Key("default", name)))

    assert writes.unsettled(OWNER) is not None
    await catch_up(cluster)
    assert writes.unsettled(OWNER) is None


async def test_delete_spares_a_namesake(
    cluster: FakeCluster, pods: Informer[Pod], writes: TrackedWrites[Pod]
) -> None:
    cached = pods.get(Key("default", "old"))
    cluster.load(make_pod("old") | {"metadata": {"name": "old", "namespace": "default", "uid": "another"}})

    await writes.delete(OWNER, cached)

    assert cluster.get(Pod, Key("default", "old")) is not None
    assert writes.unsettled(OWNER) is not None


async def test_delete_of_what_is_gone_is_no_failure(
    cluster: FakeCluster, pods: Informer[Pod], writes: TrackedWrites[Pod]
) -> None:
    cached = pods.get(Key("default", "old"))
    cluster.delete(Pod, Key("default", "old"))

    assert not await writes.delete(OWNER, cached)

    assert writes.unsettled(OWNER) is not None
    await catch_up(cluster)
    assert writes.unsettled(OWNER) is None


async def test_refused_write_is_not_waited_for(cluster: FakeCluster, writes: TrackedWrites[Pod]) -> None:
    cluster.faults.fail_next(Forbidden("quota"))

    with pytest.raises(Forbidden):
        await writes.create(OWNER, BODY, "default")

    assert writes.unsettled(OWNER) is None


async def test_create_without_an_answer_gives_the_cache_time_to_show_it(
    cluster: FakeCluster, pods: Informer[Pod], writes: TrackedWrites[Pod]
) -> None:
    cluster.faults.lose_next_answers()
    with pytest.raises(Unreachable):
        await writes.create(OWNER, BODY, "default")

    assert writes.unsettled(OWNER) == 5
    cluster.release_watches()
    await cluster.advance(5)
    assert writes.unsettled(OWNER) is None
    assert pods.get(Key("default", "new")) is not None


async def test_write_that_is_never_seen_is_forgotten(
    cluster: FakeCluster, writes: TrackedWrites[Pod]
) -> None:
    await writes.create(OWNER, BODY, "default")

    await cluster.clock.advance(299)
    assert writes.unsettled(OWNER) == pytest.approx(1)
    await cluster.clock.advance(1)
    assert writes.unsettled(OWNER) is None


async def test_forgotten_owner_has_no_writes(writes: TrackedWrites[Pod]) -> None:
    await writes.create(OWNER, BODY, "default")

    writes.forget(OWNER)

    assert writes.unsettled(OWNER) is None
