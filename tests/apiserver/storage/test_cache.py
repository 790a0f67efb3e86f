"""The watch cache and the hub, on the store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.errors import Timeout
from kplane.api.resource import Object
from kplane.apiserver.storage import cache as cache_module
from kplane.apiserver.storage import codec
from kplane.apiserver.storage.cache import WatchCache
from kplane.apiserver.storage.events import Event, Item, Selection
from kplane.apiserver.storage.hub import Hub
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Batch, Compacted, StoreError
from kplane.apiserver.storage.watcher import Overrun, Watcher
from kplane.testing.clock import VirtualClock

PODS = "/registry/pods/"
RED = Selection(predicate=lambda item: item.labels.get("color") == "red")


class LossyStore(SQLiteStore):
    """A store whose watches can be cut."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(None, clock)
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Watches fail until `mend`."""
        self._cut.set()

    def mend(self) -> None:
        self._cut.clear()

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        async with aclosing(super().watch(prefix, after)) as batches:
            async for batch in batches:
                if self._cut.is_set():
                    raise StoreError("cut")
                yield batch


class Cluster:
    """A store, a hub that follows it, and the cache of pods."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = LossyStore(self.clock)
        self.hub = Hub(self.store, self.clock)
        self.pods = self.hub.cache(PODS, node_of)

    async def put(self, name: str, namespace: str = "default", **parts: Any) -> int:
        """Write a pod; parts: `color`, `node`, `uid`."""
        return await self.store.put(f"{PODS}{namespace}/{name}", pod(name, namespace, **parts), expect=None)

    async def delete(self, name: str, namespace: str = "default") -> int:
        return await self.store.delete(f"{PODS}{namespace}/{name}", expect=None)


def pod(name: str, namespace: str, color: str = "", node: str = "", uid: str = "") -> bytes:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "labels": {"color": color} if color else None,
    }
    return codec.encode({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"nodeName": node}})


def node_of(obj: Object) -> Mapping[str, str]:
    return {"spec.nodeName": obj["spec"]["nodeName"]}


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    await cluster.store.open()
    following = asyncio.create_task(cluster.hub.run())
    yield cluster
    following.cancel()
    await asyncio.wait([following])
    await cluster.store.close()


def names(items: Any) -> list[str]:
    return [item.name for item in items]


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.type, event.item.name) for event in events]


async def drain(watcher: Watcher, cache: WatchCache) -> list[Event]:
    """Every event so far."""
    await cache.fresh(None)
    watcher.close()
    return [event async for batch in watcher for event in batch]


async def test_get_sees_every_acknowledged_write(cluster: Cluster) -> None:
    for _ in range(5):
        revision = await cluster.put("a")
        item = await cluster.pods.get("default", "a")

        assert item is not None
        assert (item.revision, item.namespace, item.name) == (revision, "default", "a")
        assert codec.decode(item.wire)["metadata"]["resourceVersion"] == str(revision)


@pytest.mark.parametrize("decode", [codec.decode, codec.reader(["spec.nodeName"])], ids=["whole", "part"])
@pytest.mark.parametrize("fields", [node_of, None], ids=["fields", "no-fields"])
async def test_a_revision_that_others_stored_gives_way_to_the_true_one(
    cluster: Cluster, decode: cache_module.Decode, fields: cache_module.Fields | None
) -> None:
    jobs = cluster.hub.cache("/registry/jobs/", fields, None, decode)
    foreign = pod("a", "ns").replace(b'"name"', b'"resourceVersion":"1","name"')
    revision = await cluster.store.put("/registry/jobs/ns/a", foreign, expect=0)

    item = await jobs.get("ns", "a")

    assert item is not None
    assert item.wire.count(b"resourceVersion") == 1
    assert codec.decode(item.wire)["metadata"]["resourceVersion"] == str(revision)


@pytest.mark.parametrize("value", [b'{"kind":"Pod","apiVersion":"v1"}', b"[]", b'{"metadata":"a"}'])
async def test_what_is_no_object_is_not_there(cluster: Cluster, value: bytes) -> None:
    await cluster.store.put(f"{PODS}ns/a", value, expect=0)
    await cluster.put("b")

    assert names((await cluster.pods.list()).items) == ["b"]


async def test_get_of_what_is_not_there_is_none(cluster: Cluster) -> None:
    await cluster.put("a")
    await cluster.delete("a")

    assert await cluster.pods.get("default", "a") is None
    assert await cluster.pods.get("default", "b") is None


async def test_cache_holds_what_was_there_before_its_first_use(cluster: Cluster) -> None:
    await cluster.store.put("/registry/configmaps/ns/a", pod("a", "ns"), expect=0)

    listing = await cluster.hub.cache("/registry/configmaps/").list()

    assert names(listing.items) == ["a"]


async def test_each_resource_has_its_own_cache(cluster: Cluster) -> None:
    services = cluster.hub.cache("/registry/services/specs/")
    widgets = cluster.hub.cache("/registry/example.com/widgets/")
    await cluster.store.put("/registry/services/specs/ns/web", pod("web", "ns"), expect=0)
    await cluster.store.put("/registry/example.com/widgets/knob", pod("knob", ""), expect=0)

    found = [names((await cache.list()).items) for cache in (services, widgets, cluster.pods)]

    assert found == [["web"], ["knob"], []]
    assert await widgets.get("", "knob") is not None
    assert cluster.hub.cache("/registry/services/specs/") is services


async def test_list_is_in_key_order_at_the_store_revision(cluster: Cluster) -> None:
    for name, namespace in (("b", "two"), ("c", "one"), ("a", "two"), ("z", "one-more")):
        revision = await cluster.put(name, namespace)

    listing = await cluster.pods.list()

    assert [(item.namespace, item.name) for item in listing.items] == [
        ("one-more", "z"), ("one", "c"), ("two", "a"), ("two", "b"),
    ]  # fmt: skip
    assert (listing.revision, listing.next, listing.remaining) == (revision, "", 0)


async def test_list_of_a_namespace_leaves_out_its_neighbours(cluster: Cluster) -> None:
    for namespace in ("a", "ab", "a-b", "b"):
        await cluster.put("x", namespace)

    listing = await cluster.pods.list(Selection(namespace="a"))

    assert [item.namespace for item in listing.items] == ["a"]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        pytest.param(RED, ["a", "c"], id="labels"),
        pytest.param(Selection(equals={"spec.nodeName": "n1"}), ["b", "c"], id="field"),
        pytest.param(Selection(name="b"), ["b"], id="name"),
        pytest.param(Selection(namespace="default", name="b"), ["b"], id="namespace and name"),
        pytest.param(Selection(namespace="other"), [], id="namespace"),
        pytest.param(Selection(equals={"spec.nodeName": "n1"}, predicate=RED.predicate), ["c"], id="both"),
    ],
)
async def test_list_selects(cluster: Cluster, selection: Selection, found: list[str]) -> None:
    await cluster.put("a", color="red")
    await cluster.put("b", node="n1")
    await cluster.put("c", node="n1", color="red")

    assert names((await cluster.pods.list(selection)).items) == found


async def test_pages_of_one_list_show_one_state(cluster: Cluster) -> None:
    for name in "abcdef":
        await cluster.put(name)
    first = await cluster.pods.list(limit=2)
    await cluster.delete("a")
    await cluster.delete("e")
    await cluster.put("cc")
    await cluster.put("d", color="red")

    second = await cluster.pods.list(exact=first.revision, limit=2, start=first.next)
    third = await cluster.pods.list(exact=first.revision, start=second.next)

    assert [names(page.items) for page in (first, second, third)] == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert [page.remaining for page in (first, second, third)] == [4, 2, 0]
    assert {page.revision for page in (first, second, third)} == {first.revision}
    assert second.items[1].labels == {}


async def test_pages_of_a_selection_do_not_tell_what_remains(cluster: Cluster) -> None:
    for name in "abcd":
        await cluster.put(name, color="red" if name in "acd" else "blue")

    first = await cluster.pods.list(RED, limit=2)
    second = await cluster.pods.list(RED, exact=first.revision, limit=2, start=first.next)

    assert (names(first.items), first.remaining, names(second.items), second.next) == (
        ["a", "c"], None, ["d"], "",
    )  # fmt: skip


async def test_a_page_from_before_the_cache_comes_from_the_store(cluster: Cluster) -> None:
    key = "/registry/configmaps/ns/"
    first = await cluster.store.put(key + "a", pod("a", "ns", color="red"), expect=0)
    await cluster.store.put(key + "b", pod("b", "ns"), expect=0)
    await cluster.store.delete(key + "a", expect=None)

    listing = await cluster.hub.cache("/registry/configmaps/").list(Selection("ns"), exact=first)

    assert (names(listing.items), listing.revision) == (["a"], first)


async def test_a_page_from_before_a_compaction_is_refused(cluster: Cluster) -> None:
    first = await cluster.store.put("/registry/configmaps/ns/a", pod("a", "ns"), expect=0)
    last = await cluster.store.put("/registry/configmaps/ns/b", pod("b", "ns"), expect=0)
    await cluster.store.compact(last)

    with pytest.raises(Compacted):
        await cluster.hub.cache("/registry/configmaps/").list(exact=first)


async def test_a_stale_read_does_not_wait(cluster: Cluster) -> None:
    await cluster.put("a")
    await cluster.pods.fresh(None)
    cluster.store.cut()
    await cluster.put("b")
    await cluster.clock.idle()

    assert names((await cluster.pods.list(at_least=0)).items) == ["a"]


@pytest.mark.slow
async def test_a_consistent_read_goes_to_the_store_when_the_watch_is_away(cluster: Cluster) -> None:
    await cluster.put("a")
    await cluster.pods.fresh(None)
    cluster.store.cut()
    revision = await cluster.put("b")

    listing, item = await asyncio.gather(cluster.pods.list(), cluster.pods.get("default", "b"))

    assert (names(listing.items), listing.revision) == (["a", "b"], revision)
    assert item is not None
    assert item.revision == revision


async def test_a_revision_of_the_future_times_out(cluster: Cluster) -> None:
    revision = await cluster.put("a")
    await cluster.pods.fresh(None)

    with pytest.raises(Timeout) as failure:
        await cluster.hub.wait(revision + 1000, seconds=0.01)

    assert failure.value.message == (
        f"Timeout: Too large resource version: {revision + 1000}, current: {revision}"
    )
    assert failure.value.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_wait_returns_once_the_cache_includes_a_revision(cluster: Cluster) -> None:
    revision = await cluster.put("a")
    await cluster.pods.wait(revision)

    assert cluster.pods.revision >= revision
    assert names((await cluster.pods.list(at_least=0)).items) == ["a"]


async def test_watch_tells_changes_after_its_revision(cluster: Cluster) -> None:
    await cluster.pods.fresh(None)
    first = await cluster.put("a")
    await cluster.put("a", color="red")
    await cluster.put("b")
    last = await cluster.delete("a")
    await cluster.pods.fresh(None)

    events = await drain(await cluster.pods.watch(after=first), cluster.pods)

    assert told(events) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    deleted = codec.decode(events[-1].item.wire)
    assert (deleted["metadata"]["resourceVersion"], deleted["metadata"]["labels"]) == (
        str(last), {"color": "red"},
    )  # fmt: skip


async def test_watch_without_a_revision_begins_with_the_present(cluster: Cluster) -> None:
    await cluster.put("a", color="red")
    revision = await cluster.put("b")
    watcher = await cluster.pods.watch(RED)
    await cluster.put("c", color="red")

    assert (names(watcher.initial), watcher.revision) == (["a"], revision)
    assert told(await drain(watcher, cluster.pods)) == [("ADDED", "c")]


async def test_watch_wakes_up_for_each_change(cluster: Cluster) -> None:
    watcher = await cluster.pods.watch()
    seen = []
    async with asyncio.timeout(30):
        for name in "abc":
            await cluster.put(name)
            seen += [event async for event in first_batch(watcher)]

    assert told(seen) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def first_batch(watcher: Watcher) -> AsyncIterator[Event]:
    for event in await anext(watcher):
        yield event


@pytest.mark.parametrize(
    ("selection", "events"),
    [
        pytest.param(RED, "ADDED MODIFIED DELETED ADDED DELETED", id="labels"),
        pytest.param(Selection(equals={"spec.nodeName": "n1"}), "ADDED MODIFIED DELETED", id="field"),
        pytest.param(Selection("default", "a"), "ADDED" + 5 * " MODIFIED" + " DELETED", id="name"),
        pytest.param(Selection("default"), "ADDED" + 5 * " MODIFIED" + " DELETED", id="namespace"),
        pytest.param(Selection("other"), "", id="other namespace"),
        pytest.param(Selection(name="a", predicate=lambda item: False), "", id="nothing"),
    ],
)
async def test_objects_enter_and_leave_a_selection(
    cluster: Cluster, selection: Selection, events: str
) -> None:
    watcher = await cluster.pods.watch(selection)
    await cluster.put("a")
    await cluster.put("a", color="red")
    await cluster.put("a", color="red", node="n1")
    await cluster.put("a", node="n1")
    await cluster.put("a", color="red", node="n2")
    await cluster.put("a")
    await cluster.delete("a")

    seen = await drain(watcher, cluster.pods)

    assert [event.type for event in seen] == events.split()


async def test_an_object_that_leaves_a_selection_is_told_as_it_was(cluster: Cluster) -> None:
    watcher = await cluster.pods.watch(RED)
    await cluster.put("a", color="red")
    left = await cluster.put("a", color="blue")

    (_, deleted) = await drain(watcher, cluster.pods)

    metadata = codec.decode(deleted.item.wire)["metadata"]
    assert (metadata["labels"], metadata["resourceVersion"]) == ({"color": "red"}, str(left))


async def test_watchers_share_the_bytes_of_an_event(cluster: Cluster) -> None:
    watchers = [await cluster.pods.watch(), await cluster.pods.watch(Selection("default"))]
    await cluster.put("a")

    frames = [(await drain(watcher, cluster.pods))[0].frame for watcher in watchers]

    assert frames[0] is frames[1]
    assert frames[0].startswith(b'{"type":"ADDED","object":{"kind":"Pod",')
    assert frames[0].endswith(b"}\n")


async def test_a_bookmark_may_say_what_the_watcher_has_seen(cluster: Cluster) -> None:
    watcher = await cluster.pods.watch(RED)
    other = await cluster.put("a")
    await cluster.pods.fresh(None)
    assert watcher.revision == other

    red = await cluster.put("b", color="red")
    later = await cluster.put("c")
    await cluster.pods.fresh(None)
    assert watcher.revision == red - 1

    await anext(watcher)
    assert watcher.revision == later


async def test_a_slow_watcher_is_ended_and_the_others_go_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "WATCHER_BACKLOG", 10)
    slow, quick = await cluster.pods.watch(), await cluster.pods.watch()
    seen = []
    for number in range(30):
        await cluster.put(f"{number:02}")
        seen += await anext(quick)

    received = await anext(slow)
    with pytest.raises(Overrun):
        await anext(slow)
    assert names(event.item for event in received) == [f"{number:02}" for number in range(10)]
    assert len(seen) == 30


async def test_history_that_is_too_old_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "HISTORY_MIN", 5)
    await cluster.pods.fresh(None)
    first = await cluster.put("a")
    for number in range(4):
        await cluster.put(f"b{number}")
    await cluster.clock.advance(cache_module.HISTORY_SECONDS + 1)
    last = await cluster.put("c")
    await cluster.pods.fresh(None)

    with pytest.raises(Compacted) as failure:
        await cluster.pods.watch(after=first - 1)
    assert failure.value.oldest == first
    assert len(await drain(await cluster.pods.watch(after=first), cluster.pods)) == last - first


async def test_history_from_before_the_cache_is_refused(cluster: Cluster) -> None:
    first = await cluster.store.put("/registry/configmaps/ns/a", pod("a", "ns"), expect=0)
    last = await cluster.store.put("/registry/configmaps/ns/b", pod("b", "ns"), expect=0)

    with pytest.raises(Compacted) as failure:
        await cluster.hub.cache("/registry/configmaps/").watch(after=first)
    assert failure.value.oldest == last


async def test_a_lost_store_watch_is_resumed_without_loss(cluster: Cluster) -> None:
    await cluster.put("a")
    watcher = await cluster.pods.watch()
    cluster.store.cut()
    await cluster.put("b")
    await cluster.delete("a")
    await cluster.clock.advance(5)
    cluster.store.mend()
    await cluster.clock.advance(5)

    assert told(await drain(watcher, cluster.pods)) == [("ADDED", "b"), ("DELETED", "a")]


async def test_after_a_compacted_gap_watchers_are_told_the_differences(cluster: Cluster) -> None:
    await cluster.put("same", uid="1")
    await cluster.put("changed", uid="2")
    await cluster.put("gone", uid="3")
    await cluster.put("replaced", uid="4")
    watcher = await cluster.pods.watch()
    cluster.store.cut()
    await cluster.put("changed", uid="2", color="red")
    await cluster.delete("gone")
    await cluster.delete("replaced")
    await cluster.put("replaced", uid="5")
    await cluster.put("fleeting")
    await cluster.delete("fleeting")
    await cluster.put("new", uid="6")
    await cluster.store.compact(await cluster.store.revision())
    await cluster.clock.advance(5)
    cluster.store.mend()
    await cluster.clock.advance(5)
    last = await cluster.put("after", uid="7")

    events = await drain(watcher, cluster.pods)
    listing = await cluster.pods.list()

    assert told(events) == [
        ("MODIFIED", "changed"),
        ("DELETED", "replaced"),
        ("ADDED", "replaced"),
        ("ADDED", "new"),
        ("DELETED", "gone"),
        ("ADDED", "after"),
    ]
    revisions = [event.revision for event in events]
    assert revisions == sorted(revisions)
    assert (names(listing.items), listing.revision) == (["after", "changed", "new", "replaced", "same"], last)


async def test_what_cannot_be_read_is_left_out(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    watcher = await cluster.pods.watch()
    await cluster.store.put(PODS + "default/broken", b"k8s\x00protobuf", expect=0)
    await cluster.put("fine")
    await cluster.store.put(PODS + "default/broken", b"{}", expect=None)

    assert told(await drain(watcher, cluster.pods)) == [("ADDED", "fine")]
    assert names((await cluster.pods.list()).items) == ["fine"]
    assert "key=/registry/pods/default/broken" in caplog.text


async def test_dropping_a_resource_ends_its_watches(cluster: Cluster) -> None:
    watcher = await cluster.pods.watch()
    cluster.hub.drop(PODS)

    assert [batch async for batch in watcher] == []
    assert cluster.hub.cache(PODS) is not cluster.pods


async def test_concurrent_writers_and_readers_agree(cluster: Cluster) -> None:
    watcher = await cluster.pods.watch()

    async def churn(lane: int) -> None:
        for number in range(20):
            revision = await cluster.put(f"{lane}-{number}")
            item = await cluster.pods.get("default", f"{lane}-{number}")
            assert item is not None
            assert item.revision == revision
            if number % 3 == 0:
                await cluster.delete(f"{lane}-{number}")

    await asyncio.gather(*(churn(lane) for lane in range(10)))
    listing = await cluster.pods.list()
    replayed: dict[str, Item] = {}
    for event in await drain(watcher, cluster.pods):
        replayed[event.item.key] = event.item
        if event.type == "DELETED":
            del replayed[event.item.key]

    page = await cluster.store.range(PODS)
    assert [item.key for item in listing.items] == sorted(replayed) == [entry.key for entry in page.entries]
    assert {item.key: item.wire for item in listing.items} == {key: i.wire for key, i in replayed.items()}
