"""Adoption: ownership follows selectors, and never crosses to another owner."""

from __future__ import annotations

import pytest

from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.types import Pod, ReplicaSet
from kplane.client.codec import codec, encode
from kplane.controllers.adoption import Adoption, CannotAdopt, plan
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod, make_replicaset

OTHER = make_replicaset("other")


def owner(**options: object) -> ReplicaSet:
    body = make_replicaset()
    body["metadata"] |= options
    return codec(ReplicaSet).one(encode(body))


def pod(body: Object) -> Pod:
    return codec(Pod).one(encode(body))


def is_web(pod: Pod) -> bool:
    return pod.metadata.labels.get("app") == "web"


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        pytest.param(make_pod(owner=make_replicaset()), "mine", id="owned-and-matching"),
        pytest.param(make_pod(owner=make_replicaset(), labels={"app": "x"}), "release", id="owned-no-match"),
        pytest.param(make_pod(), "adopt", id="orphan-matching"),
        pytest.param(make_pod(labels={"app": "x"}), "", id="orphan-no-match"),
        pytest.param(make_pod(owner=OTHER), "", id="owned-by-another"),
    ],
)
def test_plan_sorts_objects(body: Object, becomes: str) -> None:
    claim = plan(owner(), [pod(body)], is_web)

    found = {name for name in ("mine", "adopt", "release") if getattr(claim, name)}
    assert found == ({becomes} if becomes else set())


def test_an_owner_that_is_being_deleted_keeps_but_neither_adopts_nor_releases() -> None:
    mine, left, orphan = (
        pod(make_pod("mine", owner=make_replicaset())),
        pod(make_pod("left", owner=make_replicaset(), labels={"app": "x"})),
        pod(make_pod("orphan")),
    )

    claim = plan(owner(deletionTimestamp="2026-01-01T00:00:00Z"), [mine, left, orphan], is_web)

    assert (claim.mine, claim.adopt, claim.release) == ([mine], [], [])


@pytest.mark.parametrize("gone", ["replaced", "deleting"])
async def test_a_stale_owner_adopts_nothing(cluster: FakeCluster, gone: str) -> None:
    live = make_replicaset(finalizers=["hold"])
    if gone == "replaced":
        live["metadata"]["uid"] = "another"
    else:
        live["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(live, make_pod("stray"))

    with pytest.raises(CannotAdopt):
        await Adoption(cluster.client(), Pod).claim(owner(), cluster.list(Pod), is_web)

    stray = cluster.get(Pod, Key("default", "stray"))
    assert stray is not None
    assert stray.metadata.controller is None
