"""Informers: the cache follows the server, and handlers hear exactly what happened, whatever breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kplane.api.errors import ApiError, Expired, ServiceUnavailable, TooManyRequests
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, PartialObjectMetadata, Pod
from kplane.client.codec import encode
from kplane.client.informer import Informer, InformerFactory
from kplane.client.rest import Client
from kplane.client.transport import Stream
from kplane.testing import FakeCluster, make_configmap, make_pod, make_pods, make_replicaset

WEB = Key("default", "web")


def revision(found: ConfigMap) -> int:
    return int(found.metadata.resource_version)


class Story:
    """What a handler has been told, checked for sense while it is told."""

    def __init__(self) -> None:
        self.objects: dict[Key, ConfigMap] = {}
        self.told: list[str] = []

    def __call__(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        if old is None:
            assert new is not None
            assert new.key not in self.objects, "added twice"
            self.told.append(f"added {new.key.name}")
        else:
            assert self.objects.get(old.key) is old, "the old state is not the one told before"
            del self.objects[old.key]
            assert new is None or revision(new) > revision(old), "an older state was told after a newer one"
            self.told.append(f"{'changed' if new else 'deleted'} {old.key.name}")
        if new is not None:
            self.objects[new.key] = new


def unprimed(cluster: FakeCluster) -> Informer[ConfigMap]:
    """An informer that has to list first, as in production."""
    return Informer(cluster.client(), ConfigMap, clock=cluster.clock, entropy=cluster.entropy)


async def follow(cluster: FakeCluster) -> tuple[Informer[ConfigMap], Story]:
    informer, story = unprimed(cluster), Story()
    informer.on_change(story)
    cluster.start(informer.run())
    await cluster.clock.idle()
    return informer, story


def put(cluster: FakeCluster, name: str, value: str = "") -> None:
    metadata = {"name": name, "namespace": "default"}
    old = cluster.get(ConfigMap, Key("default", name))
    if old is not None:
        metadata["uid"] = old.metadata.uid
    cluster.load({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}})


async def test_synced_after_the_first_list(cluster: FakeCluster) -> None:
    put(cluster, "web")
    informer = unprimed(cluster)
    assert not informer.synced

    cluster.start(informer.run())
    await informer.wait_synced()

    assert informer.get(WEB) is not None
    assert informer.resource_version == str(cluster.server.state.revision)


async def test_handlers_hear_every_change_once(cluster: FakeCluster) -> None:
    put(cluster, "before")
    _, story = await follow(cluster)
    put(cluster, "web")
    put(cluster, "web", "2")
    cluster.delete(ConfigMap, WEB)
    await cluster.clock.idle()

    assert story.told == ["added before", "added web", "changed web", "deleted web"]


async def test_late_handler_is_told_what_is_cached(cluster: FakeCluster) -> None:
    put(cluster, "web")
    informer, _ = await follow(cluster)

    late = Story()
    informer.on_change(late)

    assert late.told == ["added web"]


async def test_broken_watch_resumes_without_telling_anything_twice(cluster: FakeCluster) -> None:
    put(cluster, "before")
    _, story = await follow(cluster)

    cluster.drop_watches()
    put(cluster, "web")
    await cluster.clock.advance(60)

    assert story.told == ["added before", "added web"]


async def test_lost_history_is_told_as_differences(cluster: FakeCluster) -> None:
    for name in ("kept", "changed", "deleted", "replaced"):
        put(cluster, name)
    informer, story = await follow(cluster)
    story.told.clear()

    cluster.drop_watches()
    put(cluster, "changed", "2")
    put(cluster, "new")
    cluster.delete(ConfigMap, Key("default", "deleted"))
    cluster.delete(ConfigMap, Key("default", "replaced"))
    put(cluster, "replaced")
    cluster.compact()
    await cluster.clock.advance(60)

    assert sorted(story.told) == [
        "added new", "added replaced", "changed changed", "deleted deleted", "deleted replaced",
    ]  # fmt: skip
    assert len(informer.list()) == 4


async def test_unreachable_server_is_tried_again_with_growing_delays(cluster: FakeCluster) -> None:
    put(cluster, "web")
    cluster.faults.fail_next(times=5, methods=("GET",))
    informer, _ = await follow(cluster)

    await cluster.clock.advance(0.8 + 1.6 + 3.2 + 6.4)
    assert not informer.synced
    await cluster.clock.advance(2 * (0.8 + 1.6 + 3.2 + 6.4 + 12.8))

    assert informer.get(WEB) is not None


async def test_servers_wish_for_a_pause_is_kept(cluster: FakeCluster) -> None:
    cluster.faults.fail_next(TooManyRequests("slow down", retry_after=50), methods=("WATCH",))
    put(cluster, "web")
    informer, _ = await follow(cluster)
    put(cluster, "web", "2")

    await cluster.clock.advance(49)
    found = informer.get(WEB)
    assert found is not None
    assert found.data == {"value": ""}
    await cluster.clock.advance(2)

    found = informer.get(WEB)
    assert found is not None
    assert found.data == {"value": "2"}


class Curt:
    """A way to the fake cluster on which every watch ends as soon as it has begun, in one of several ways."""

    def __init__(self, cluster: FakeCluster, error: ApiError | None) -> None:
        self._cluster = cluster
        self._error = error
        self.request = cluster.request
        self.close = cluster.close
        self.watches = 0
        self.status = 200
        self.headers: Mapping[str, str] = {}

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Stream]:
        self.watches += 1
        await self._cluster.clock.sleep(0)
        yield self

    async def lines(self) -> AsyncIterator[bytes]:
        if self._error is not None:
            yield encode({"type": "ERROR", "object": self._error.status()})

    chunks = lines


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(None, id="without an event"),
        pytest.param(Expired("too old resource version"), id="history gone every time"),
        pytest.param(ServiceUnavailable("starting"), id="an error every time"),
    ],
)
async def test_watch_that_ends_at_once_is_not_retried_in_a_loop(
    cluster: FakeCluster, error: ApiError | None
) -> None:
    transport = Curt(cluster, error)
    client = Client(transport, clock=cluster.clock)
    cluster.start(Informer(client, ConfigMap, clock=cluster.clock, entropy=cluster.entropy).run())

    await cluster.clock.advance(60)

    assert 3 <= transport.watches <= 14


async def test_indexes_follow_changes(cluster: FakeCluster) -> None:
    pods = cluster.context().informer(Pod)
    pods.add_index("node", lambda pod: [pod.spec.node_name] if pod.spec.node_name else [])
    owner = make_replicaset()
    cluster.load(make_pod("a", node="n1", owner=owner), make_pod("b"), make_pod("c", "other", node="n1"))
    await cluster.settle()

    def names(found: object) -> list[str]:
        return sorted(pod.metadata.name for pod in found)  # type: ignore[attr-defined]

    assert names(pods.by_index("node", "n1")) == ["a", "c"]
    assert names(pods.owned_by(owner["metadata"]["uid"])) == ["a"]
    assert names(pods.list("default")) == ["a", "b"]
    cluster.load(make_pod("a", node="n2"))
    cluster.delete(Pod, Key("other", "c"))
    await cluster.settle()
    assert names(pods.by_index("node", "n1")) == []
    assert names(pods.by_index("node", "n2")) == ["a"]
    assert names(pods.owned_by(owner["metadata"]["uid"])) == []
    assert names(pods.list("other")) == []


async def test_selectors_and_namespaces_limit_the_cache(cluster: FakeCluster) -> None:
    ctx = cluster.context()
    cluster.load(*make_pods(2, labels={"app": "web"}), make_pod("db", labels={"app": "db"}))
    cluster.load(make_pod("far", "elsewhere"))

    assert len(ctx.informer(Pod, label_selector="app=db").list()) == 1
    assert len(ctx.informer(Pod, namespace="elsewhere").list()) == 1
    assert len(ctx.informer(Pod, field_selector="metadata.name!=db").list()) == 3


async def test_factory_shares_informers_by_view_and_selector(cluster: FakeCluster) -> None:
    factory = InformerFactory(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)

    assert factory.informer(Pod) is factory.informer(Pod)
    assert factory.informer(Pod) is not factory.informer(Pod, namespace="default")
    assert factory.informer(Pod) is not factory.informer(Pod.API.as_type(PartialObjectMetadata))
    assert len(factory) == 3


async def test_factory_knows_who_holds_the_metadata_of_everything(cluster: FakeCluster) -> None:
    factory = InformerFactory(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)
    factory.informer(Pod, namespace="default")
    factory.informer(Pod, label_selector="app=web")
    factory.informer(Pod.API.as_type(dict))
    before = factory.with_metadata(Pod.API)

    whole = factory.informer(Pod)

    assert before is None
    assert factory.with_metadata(Pod.API.as_type(PartialObjectMetadata)) is whole
    assert factory.with_metadata(ConfigMap.API) is None
    # What reads another version than the server has waits for ever.
    assert factory.with_metadata(replace(Pod.API, version="v2")) is None


async def test_a_handler_that_was_taken_away_hears_nothing_more(cluster: FakeCluster) -> None:
    informer = cluster.context().informer(ConfigMap)
    heard: list[str] = []

    def handler(old: ConfigMap | None, new: ConfigMap | None) -> None:
        heard.append(new.metadata.name if new else "")

    informer.on_change(handler)
    cluster.load(make_configmap("first"))
    await cluster.settle()
    informer.off_change(handler)
    cluster.load(make_configmap("second"))
    await cluster.settle()

    assert heard == ["first"]


@pytest.mark.parametrize("early", [True, False], ids=["made before run", "made after run"])
async def test_factory_runs_informers_whenever_they_are_made(cluster: FakeCluster, early: bool) -> None:
    cluster.load(make_configmap())
    factory = InformerFactory(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)
    if early:
        factory.informer(ConfigMap)
    cluster.start(factory.run())
    await cluster.clock.idle()

    informer = factory.informer(ConfigMap)
    await factory.wait_synced()

    assert len(informer.list()) == 1


NAMES = st.sampled_from("abc")
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(
        st.sampled_from(["drop", "end", "compact", "hold", "release", "refuse", "run", "wait"]), st.just("")
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
@pytest.mark.slow
def test_any_sequence_of_changes_and_faults_ends_in_the_servers_state(steps: list[tuple[str, str]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, str]]) -> None:
    async with FakeCluster() as cluster:
        informer, story = await follow(cluster)
        for number, (step, name) in enumerate(steps):
            await _do(cluster, step, name, str(number))
        cluster.release_watches()
        await cluster.clock.advance(300)

        held = {found.key: found for found in cluster.list(ConfigMap)}
        assert {found.key: found for found in informer.list()} == held
        assert story.objects == held


async def _do(cluster: FakeCluster, step: str, name: str, value: str) -> None:
    match step:
        case "put":
            put(cluster, name, value)
        case "delete":
            if cluster.get(ConfigMap, Key("default", name)) is not None:
                cluster.delete(ConfigMap, Key("default", name))
        case "drop":
            cluster.drop_watches()
        case "end":
            cluster.end_watches()
        case "compact":
            cluster.compact()
        case "hold":
            cluster.hold_watches()
        case "release":
            cluster.release_watches()
        case "refuse":
            cluster.faults.fail_next(methods=("GET", "WATCH"))
        case "run":
            await cluster.clock.idle()
        case "wait":
            await cluster.clock.advance(5)
