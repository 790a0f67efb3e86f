"""Garbage collection against the fake cluster: background, foreground, orphan, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as replace_fields
from typing import Any

import pytest
from msgspec.structs import replace

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError, UnsupportedMediaType
from kplane.api.resource import Key, Object
from kplane.api.scheme import ALL_VERBS, ResourceInfo
from kplane.api.types import ConfigMap, PartialObjectMetadata
from kplane.api.types.meta import ObjectMeta
from kplane.client.codec import encode
from kplane.client.rest import Listing, PatchType
from kplane.client.transport import Response
from kplane.controllers.garbagecollector import GarbageCollector
from kplane.controllers.garbagecollector.graph import Graph
from kplane.controllers.garbagecollector.monitors import Monitors
from kplane.testing.cluster import FakeCluster
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import make_configmap, make_namespace, owner_reference

WIDGETS = ResourceInfo(
    "example.com", "v2", "widgets", "widget", "Widget", namespaced=True, definition="", verbs=ALL_VERBS
)


async def run(cluster: FakeCluster) -> None:
    """A garbage collector as the manager runs it."""
    context = cluster.context("garbage-collector-controller")
    collector = GarbageCollector(context)
    cluster.start(collector.run())
    await cluster.settle()
    await collector.wait_synced()
    cluster.start(context.queue.run(collector.reconcile, 4))
    await cluster.settle()


def thing(
    name: str, *owners: Object, namespace: str = "default", block: bool = True, **metadata: Any
) -> Object:
    body = make_configmap(name, namespace)
    references = [owner_reference(owner, controller=False) for owner in owners]
    body["metadata"]["ownerReferences"] = [
        reference | {"blockOwnerDeletion": block} for reference in references
    ]
    body["metadata"] |= metadata
    return body


def names(cluster: FakeCluster) -> set[str]:
    return {entry.metadata.name for entry in cluster.list(ConfigMap)}


async def delete(cluster: FakeCluster, name: str, propagation: Any = "Background") -> None:
    await cluster.client().delete(ConfigMap, name, "default", propagation=propagation)
    await cluster.settle()


async def test_dependents_follow_their_owner(discoverable: FakeCluster) -> None:
    owner = thing("owner")
    child = thing("child", owner)
    discoverable.load(owner, child, thing("grandchild", child), thing("unrelated"))
    await run(discoverable)

    await delete(discoverable, "owner")

    assert names(discoverable) == {"unrelated"}


async def test_a_resource_that_another_controller_watches_is_not_watched_again(
    discoverable: FakeCluster,
) -> None:
    owner = thing("owner")
    discoverable.load(owner, thing("child", owner))
    await run(discoverable)
    alone = len(discoverable.server.state.watches)
    async with DiscoverableCluster() as shared:
        shared.load(owner, thing("child", owner))
        shared.context().informer(ConfigMap)
        await run(shared)
        together = len(shared.server.state.watches)
        await delete(shared, "owner")

        assert together == alone
        assert names(shared) == set()


async def test_what_is_served_no_more_leaves_the_graph_whoever_watches_it(
    discoverable: DiscoverableCluster,
) -> None:
    place = WIDGETS.resource.as_type(PartialObjectMetadata)
    discoverable.server.scheme.add(WIDGETS)
    try:
        informer = discoverable.context().informer(place)
        graph = Graph(lambda node: None, lambda node, owner: None)
        discoverable.start(Monitors(discoverable.context(), graph).run())
        widget = PartialObjectMetadata(metadata=ObjectMeta(name="one", uid="one", resource_version="1"))
        informer.replace(Listing([widget], "1"))
        await discoverable.settle()
        seen = graph.get("one")
    finally:
        discoverable.server.scheme.remove(WIDGETS)
    await discoverable.advance(31)
    gone = graph.get("one")
    informer.replace(Listing([replace(widget, metadata=replace(widget.metadata, resource_version="2"))], "2"))

    assert seen is not None
    assert gone is None
    assert graph.get("one") is None


async def test_dependents_with_another_owner_stay_and_lose_the_reference(discoverable: FakeCluster) -> None:
    first, second = thing("first"), thing("second")
    discoverable.load(first, second, thing("child", first, second))
    await run(discoverable)

    await delete(discoverable, "first")

    child = discoverable.get(ConfigMap, Key("default", "child"))
    assert child is not None
    assert [owner.name for owner in child.metadata.owner_references] == ["second"]


async def test_garbage_that_was_there_before_is_found(discoverable: FakeCluster) -> None:
    discoverable.load(thing("child", thing("gone-long-ago")), thing("fine"))

    await run(discoverable)

    assert names(discoverable) == {"fine"}


async def test_a_server_that_starts_later_is_found_within_seconds(discoverable: DiscoverableCluster) -> None:
    discoverable.load(thing("child", thing("gone-long-ago")))
    discoverable.broken.add("apis")
    collector = GarbageCollector(context := discoverable.context("garbage-collector-controller"))
    discoverable.start(collector.run())
    discoverable.start(context.queue.run(collector.reconcile, 4))
    await discoverable.advance(0.5)
    discoverable.broken.clear()

    await discoverable.advance(2)

    assert names(discoverable) == set()


async def test_an_owner_that_was_replaced_under_its_name_is_no_owner(discoverable: FakeCluster) -> None:
    old = thing("owner")
    discoverable.load(thing("owner", uid="another"), thing("child", old))

    await run(discoverable)

    assert names(discoverable) == {"owner"}


async def test_foreground_deletion_keeps_the_owner_until_its_dependents_are_gone(
    discoverable: FakeCluster,
) -> None:
    owner = thing("owner")
    discoverable.load(owner, thing("held", owner, finalizers=["example.com/hold"]), thing("free", owner))
    await run(discoverable)

    await delete(discoverable, "owner", "Foreground")
    waiting = names(discoverable)
    discoverable.delete(ConfigMap, Key("default", "held"))
    await discoverable.settle()

    assert waiting == {"owner", "held"}
    assert names(discoverable) == set()


async def test_foreground_deletion_does_not_wait_for_dependents_that_do_not_block(
    discoverable: FakeCluster,
) -> None:
    owner = thing("owner")
    discoverable.load(owner, thing("held", owner, block=False, finalizers=["example.com/hold"]))
    await run(discoverable)

    await delete(discoverable, "owner", "Foreground")

    assert names(discoverable) == {"held"}


async def test_a_circle_of_owners_goes_in_foreground(discoverable: FakeCluster) -> None:
    first = thing("first")
    second = thing("second", first)
    discoverable.load(thing("first", second), second)
    await run(discoverable)

    await delete(discoverable, "first", "Foreground")
    await discoverable.advance(60)

    assert names(discoverable) == set()


async def test_an_object_that_owns_itself_waits_for_itself_until_it_does_so_no_more(
    discoverable: FakeCluster,
) -> None:
    discoverable.load(thing("selfish", thing("selfish")))
    await run(discoverable)

    await delete(discoverable, "selfish", "Foreground")
    await discoverable.advance(60)
    waiting = names(discoverable)
    await discoverable.client().patch(
        ConfigMap, "selfish", "default", {"metadata": {"ownerReferences": None}}
    )
    await discoverable.advance(60)

    assert (waiting, names(discoverable)) == ({"selfish"}, set())


async def test_an_object_that_owns_itself_goes_in_background(discoverable: FakeCluster) -> None:
    discoverable.load(thing("selfish", thing("selfish")))
    await run(discoverable)

    await delete(discoverable, "selfish")

    assert names(discoverable) == set()


async def test_a_circle_of_three_goes_in_foreground(discoverable: FakeCluster) -> None:
    second = thing("second", thing("first"))
    third = thing("third", second)
    discoverable.load(thing("first", third), second, third)
    await run(discoverable)

    await delete(discoverable, "first", "Foreground")
    await discoverable.advance(60)

    assert names(discoverable) == set()


class WithoutStrategicMerge(DiscoverableCluster):
    """All of its resources are as custom ones."""

    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Response:
        if (headers or {}).get("Content-Type") == PatchType.STRATEGIC.value:
            return Response(415, {}, encode(UnsupportedMediaType("not acceptable").status()))
        return await super().request(method, path, headers=headers, **more)


async def test_a_circle_of_custom_resources_goes_in_foreground() -> None:
    async with WithoutStrategicMerge() as cluster:
        second = thing("second", thing("first"))
        cluster.load(thing("first", second), second)
        await run(cluster)

        await delete(cluster, "first", "Foreground")
        await cluster.advance(60)

        assert names(cluster) == set()


async def test_orphaned_custom_resources_keep_their_other_owners() -> None:
    async with WithoutStrategicMerge() as cluster:
        owner, other = thing("owner"), thing("other")
        cluster.load(owner, other, thing("child", owner, other))
        await run(cluster)

        await delete(cluster, "owner", "Orphan")

        child = cluster.get(ConfigMap, Key("default", "child"))
        assert child is not None
        [kept] = child.metadata.owner_references
        assert (kept.name, kept.block_owner_deletion) == ("other", True)


async def test_an_owner_that_cannot_be_watched_is_asked_for(discoverable: DiscoverableCluster) -> None:
    unwatched = replace_fields(WIDGETS, verbs=("get", "list", "delete"))
    owner = {
        "apiVersion": "example.com/v2",
        "kind": "Widget",
        "metadata": {"name": "owner", "namespace": "default", "uid": "widget"},
    }
    discoverable.server.scheme.add(unwatched)
    try:
        discoverable.load(owner, thing("child", owner))
        await run(discoverable)
        await discoverable.advance(100)
        before = names(discoverable)
        discoverable.delete(WIDGETS.resource, Key("default", "owner"))
        await discoverable.advance(31)
    finally:
        discoverable.server.scheme.remove(unwatched)

    assert (before, names(discoverable)) == ({"child"}, set())


async def test_orphaning_leaves_dependents_without_owner(discoverable: FakeCluster) -> None:
    owner = thing("owner")
    discoverable.load(owner, thing("child", owner))
    await run(discoverable)

    await delete(discoverable, "owner", "Orphan")

    child = discoverable.get(ConfigMap, Key("default", "child"))
    assert child is not None
    assert child.metadata.owner_references == ()
    assert names(discoverable) == {"child"}


async def test_an_owner_in_another_namespace_counts_as_absent_and_is_told_of(
    discoverable: FakeCluster,
) -> None:
    owner = thing("owner", namespace="elsewhere")
    discoverable.load(owner, thing("child", owner))

    await run(discoverable)

    assert {entry.key for entry in discoverable.list(ConfigMap)} == {Key("elsewhere", "owner")}
    (event,) = discoverable.events()
    assert event.reason == "OwnerRefInvalidNamespace"
    assert event.message == (
        "ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: configmap-elsewhere-owner] "
        'does not exist in namespace "default"'
    )


async def test_a_cluster_scoped_owner_is_found_from_a_namespace(discoverable: FakeCluster) -> None:
    owner = make_namespace("owner")
    discoverable.load(owner, thing("child", owner))

    await run(discoverable)

    assert names(discoverable) == {"child"}


class Busy(DiscoverableCluster):
    """While discovery is being asked for the second time, another resource comes."""

    asked = 0

    async def request(self, method: str, path: str, **more: Any) -> Response:
        answer = await super().request(method, path, **more)
        if path == "/apis":
            self.asked += 1
        elif path == "/apis/apps/v1" and self.asked == 2:
            self.server.scheme.add(WIDGETS)
            self.load(DEFINITION | {"status": {"conditions": []}})
        return answer


DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com", "uid": "definition"},
}


async def test_what_lost_its_owner_goes_as_soon_as_the_owners_kind_is_served() -> None:
    owner = {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "w", "uid": "widget"}}
    async with Busy() as cluster:
        cluster.load(thing("child", owner))
        await run(cluster)
        # The next try is not what is waited for: it is 20 s away.
        await cluster.advance(21)
        cluster.asked = 1
        cluster.load(DEFINITION)
        try:
            await cluster.advance(1)
            left = names(cluster)
        finally:
            cluster.server.scheme.remove(WIDGETS)

    assert left == set()


async def test_dependents_of_an_unknown_kind_are_kept(discoverable: FakeCluster) -> None:
    stranger = {"apiVersion": "example.com/v1", "kind": "Toy", "metadata": {"name": "toy", "uid": "toy"}}
    discoverable.load(thing("child", stranger))

    await run(discoverable)
    await discoverable.advance(60)

    assert names(discoverable) == {"child"}


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_exactly_the_right_objects_go(
    discoverable: FakeCluster, policy: str, seed: int
) -> None:
    dice = Entropy(seed)
    owner, other = thing("owner"), thing("other")
    children = [thing(f"child-{number}", owner) for number in range(5)]
    shared = [thing(f"shared-{number}", owner, other) for number in range(3)]
    discoverable.load(owner, other, *children, *shared)
    await run(discoverable)
    await discoverable.client().delete(ConfigMap, "owner", "default", propagation=policy)  # type: ignore[arg-type]
    for _ in range(6):
        kind = dice.choice(["refuse", "conflict", "lose", "drop"])
        if kind == "drop":
            discoverable.drop_watches()
        elif kind == "lose":
            discoverable.faults.lose_next_answers(times=2)
        else:
            error = Conflict("modified") if kind == "conflict" else InternalError("broken")
            discoverable.faults.fail_next(error, times=2)
        await discoverable.advance(dice.uniform(0, 1))
    await discoverable.advance(7200)

    kept = {"other", *(body["metadata"]["name"] for body in shared)}
    if policy == "Orphan":
        kept |= {body["metadata"]["name"] for body in children}
    assert names(discoverable) == kept
    owners = {
        owner.name for entry in discoverable.list(ConfigMap) for owner in entry.metadata.owner_references
    }
    assert owners == {"other"}
