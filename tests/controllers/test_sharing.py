"""What objects in the caches have in common is there once."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.resource import Key
from kplane.api.types import Pod, ReplicaSet
from kplane.client.codec import codec, encode
from kplane.client.informer import InformerFactory
from kplane.controllers import sharing
from kplane.controllers.sharing import Sharing
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod, make_replicaset

TOLERATION = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}


def pods(count: int = 2, **spec: Any) -> list[Pod]:
    """Fresh from the wire."""
    owner = make_replicaset()
    bodies = [
        make_pod(f"web-{number}", owner=owner, ready=True, tolerations=[TOLERATION], **spec)
        for number in range(count)
    ]
    return [codec(Pod).one(encode(body)) for body in bodies]


def test_siblings_share_what_they_have_in_common() -> None:
    share, (first, second) = Sharing(), pods()
    for pod in (first, second):
        share(pod)

    assert first.metadata.labels is second.metadata.labels
    assert first.metadata.owner_references is second.metadata.owner_references
    assert first.metadata.namespace is second.metadata.namespace
    assert first.spec.tolerations is second.spec.tolerations
    assert first.spec.containers[0].image is second.spec.containers[0].image
    assert first.status.conditions[0].type is second.status.conditions[0].type


def test_what_an_object_says_stays_the_same() -> None:
    share, plain, shared = Sharing(), pods(), pods()
    for pod in shared:
        share(pod)

    assert shared == plain


def test_other_kinds_share_their_metadata() -> None:
    share = Sharing()
    first, second = (codec(ReplicaSet).one(encode(make_replicaset(name))) for name in ("a", "b"))
    share(first)
    share(second)

    assert first.metadata.labels is second.metadata.labels


def test_no_more_parts_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MOST", 3)
    share = Sharing()
    for number in range(20):
        share(codec(Pod).one(encode(make_pod(labels={"number": str(number)}))))

    assert len(share) <= 3


async def test_informers_prepare_what_they_hold_from_lists_and_watches(cluster: FakeCluster) -> None:
    factory = InformerFactory(
        cluster.client(), clock=cluster.clock, entropy=cluster.entropy, prepare=Sharing()
    )
    cluster.load(make_pod("listed"))
    cluster.start(factory.run())
    informer = factory.informer(Pod)
    await cluster.settle()
    cluster.load(make_pod("watched"))
    await cluster.settle()

    listed, watched = (informer.get(Key("default", name)) for name in ("listed", "watched"))
    assert listed is not None
    assert watched is not None
    assert listed.metadata.labels is watched.metadata.labels
