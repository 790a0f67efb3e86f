"""Own writes stand in for the cache until it has caught up, and no longer."""

from __future__ import annotations

from kplane.api.resource import Key
from kplane.api.types import ConfigMap
from kplane.controllers.endpoints import Pace
from kplane.controllers.latest import Latest
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_configmap

KEY = Key("default", "settings")


async def write(cluster: FakeCluster, value: str) -> ConfigMap:
    return await cluster.client().patch(ConfigMap, KEY.name, KEY.namespace, {"data": {"value": value}})


async def test_an_answer_counts_until_the_cache_shows_it(cluster: FakeCluster) -> None:
    cluster.load(make_configmap())
    informer = cluster.context().informer(ConfigMap)
    latest = Latest(informer)
    await cluster.settle()
    cluster.hold_watches()
    latest.wrote(await write(cluster, "ours"))
    stale = informer.get(KEY)
    assert stale is not None

    while_behind = latest.of(stale).data
    cluster.release_watches()
    await write(cluster, "theirs")
    await cluster.settle()
    current = informer.get(KEY)
    assert current is not None

    assert while_behind == {"value": "ours"}
    assert latest.of(current).data == {"value": "theirs"}


async def test_an_answer_that_the_cache_has_overtaken_is_ignored(cluster: FakeCluster) -> None:
    cluster.load(make_configmap())
    informer = cluster.context().informer(ConfigMap)
    latest = Latest(informer)
    late = await write(cluster, "ours")
    await write(cluster, "theirs")
    await cluster.settle()

    latest.wrote(late)

    current = informer.get(KEY)
    assert current is not None
    assert latest.of(current).data == {"value": "theirs"}


async def test_an_answer_does_not_outlive_its_object(cluster: FakeCluster) -> None:
    cluster.load(make_configmap())
    informer = cluster.context().informer(ConfigMap)
    latest = Latest(informer)
    await cluster.settle()
    cluster.hold_watches()
    latest.wrote(await write(cluster, "ours"))
    cluster.delete(ConfigMap, KEY)
    cluster.load(make_configmap(data={"value": "new"}))
    cluster.release_watches()
    await cluster.settle()

    current = informer.get(KEY)
    assert current is not None
    assert latest.of(current).data == {"value": "new"}


async def test_large_endpoints_are_written_less_often(cluster: FakeCluster) -> None:
    pace = Pace(cluster.clock)

    pace.wrote(KEY, 500)
    await cluster.clock.advance(0.2)
    early = pace.wait(KEY)
    await cluster.clock.advance(0.4)

    assert 0.29 < early < 0.31
    assert pace.wait(KEY) <= 0


async def test_a_created_object_is_known_before_the_cache_shows_it(cluster: FakeCluster) -> None:
    informer = cluster.context().informer(ConfigMap)
    latest = Latest(informer)
    await cluster.settle()
    cluster.hold_watches()
    created = await cluster.client().create(ConfigMap, make_configmap())
    latest.created(created)

    assert informer.get(KEY) is None
    assert latest.get(KEY) == created
    latest.forget(KEY)
    assert latest.get(KEY) is None
