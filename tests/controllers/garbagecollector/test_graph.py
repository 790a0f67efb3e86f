"""The graph of owners: who is woken by which change."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Object, Resource
from kplane.api.types import PartialObjectMetadata
from kplane.client.codec import codec, encode
from kplane.controllers.garbagecollector.graph import Graph, Node
from kplane.testing.objects import make_configmap, make_namespace, owner_reference

MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, PartialObjectMetadata)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, PartialObjectMetadata)


class Recorder:
    """A graph, and what it asked for."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.invalid: list[str] = []
        self.graph = Graph(self._wake, self._invalid)

    def _wake(self, node: Node) -> None:
        self.woken.append(node.identity.name)

    def _invalid(self, node: Node, owner: Any) -> None:
        self.invalid.append(node.identity.name)

    def observe(self, body: Object) -> None:
        resource = MAPS if body["kind"] == "ConfigMap" else NAMESPACES
        self.graph.observe(resource, codec(PartialObjectMetadata).one(encode(body)))

    def drain(self) -> set[str]:
        woken, self.woken = set(self.woken), []
        return woken


def thing(name: str, *owners: Object, namespace: str = "default", **metadata: Any) -> Object:
    body = make_configmap(name, namespace)
    body["metadata"]["ownerReferences"] = [owner_reference(owner, controller=False) for owner in owners]
    body["metadata"] |= metadata
    return body


def uid(body: Object) -> str:
    found: str = body["metadata"]["uid"]
    return found


def test_a_deleted_owner_wakes_its_dependents() -> None:
    recorder, owner = Recorder(), thing("owner")
    recorder.observe(owner)
    recorder.observe(thing("child", owner))
    recorder.drain()

    recorder.graph.forget(uid(owner))

    assert recorder.drain() == {"child"}


def test_a_dependent_of_an_unknown_owner_is_looked_at() -> None:
    recorder = Recorder()

    recorder.observe(thing("child", thing("owner")))

    assert recorder.drain() == {"child"}


def test_owners_seen_later_are_solid() -> None:
    recorder, owner = Recorder(), thing("owner")
    child = thing("child", owner)
    recorder.observe(child)
    recorder.observe(owner)

    node = recorder.graph.get(uid(child))

    assert node is not None
    assert recorder.graph.has_solid_owners(node)


def test_a_gone_dependent_wakes_an_owner_that_waits_for_it() -> None:
    recorder = Recorder()
    owner = thing("owner", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["foregroundDeletion"])
    child = thing("child", owner)
    recorder.observe(owner)
    recorder.observe(child)
    recorder.drain()

    recorder.graph.forget(uid(child))

    assert recorder.drain() == {"owner"}


def test_foreground_deletion_wakes_owner_and_dependents() -> None:
    recorder, owner = Recorder(), thing("owner")
    recorder.observe(owner)
    recorder.observe(thing("child", owner))
    recorder.drain()

    recorder.observe(
        thing("owner", deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["foregroundDeletion"])
    )

    assert recorder.drain() == {"owner", "child"}


def test_changed_references_move_a_dependent() -> None:
    recorder, first, second = Recorder(), thing("first"), thing("second")
    for body in (first, second, thing("child", first), thing("child", second)):
        recorder.observe(body)
    recorder.drain()

    recorder.graph.forget(uid(first))
    from_first = recorder.drain()
    recorder.graph.forget(uid(second))

    assert (from_first, recorder.drain()) == (set(), {"child"})


def test_owners_that_were_only_heard_of_are_forgotten_with_their_last_dependent() -> None:
    recorder = Recorder()
    child = thing("child", thing("owner"))
    recorder.observe(child)

    recorder.graph.forget(uid(child))

    assert len(recorder.graph) == 0


def test_an_owner_in_another_namespace_is_invalid() -> None:
    recorder, owner = Recorder(), thing("owner", namespace="elsewhere")
    recorder.observe(owner)

    recorder.observe(thing("child", owner))

    assert recorder.invalid == ["child"]
    assert recorder.drain() == {"child"}


def test_a_cluster_scoped_owner_is_valid_from_anywhere() -> None:
    recorder, owner = Recorder(), make_namespace("owner")
    recorder.observe(owner)

    recorder.observe(thing("child", owner))

    assert recorder.invalid == []
    assert recorder.drain() == set()


def test_nothing_is_left_of_an_object_that_owned_itself() -> None:
    recorder = Recorder()
    recorder.observe(thing("selfish", thing("selfish")))

    recorder.graph.forget(uid(thing("selfish")))

    assert len(recorder.graph) == 0


def test_nothing_is_left_of_a_circle() -> None:
    recorder = Recorder()
    first, second = thing("first", thing("second")), thing("second", thing("first"))
    recorder.observe(first)
    recorder.observe(second)

    recorder.graph.forget(uid(first))
    recorder.graph.forget(uid(second))

    assert len(recorder.graph) == 0
