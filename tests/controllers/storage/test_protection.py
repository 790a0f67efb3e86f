"""Claims and volumes go when nobody uses them any more, and not earlier."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.controllers.storage.protection import (
    CLAIM_FINALIZER,
    VOLUME_FINALIZER,
    ClaimProtection,
    VolumeProtection,
)
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod
from kplane.testing.storage import make_claim, make_volume

CLAIM = Key("default", "data")
MOUNTED = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


def run(cluster: FakeCluster, make: Any = ClaimProtection) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(make(context).reconcile))


def user(name: str = "web", **options: Any) -> Object:
    return make_pod(name, **({"node": "node-1", "volumes": MOUNTED} | options))


async def delete_claim(cluster: FakeCluster) -> None:
    await cluster.client().delete(PersistentVolumeClaim, *reversed(CLAIM))
    await cluster.settle()


def is_there(cluster: FakeCluster) -> bool:
    return cluster.get(PersistentVolumeClaim, CLAIM) is not None


async def test_claims_and_volumes_without_the_finalizer_get_it(cluster: FakeCluster) -> None:
    cluster.load(make_claim(finalizers=["other"]), make_volume())
    run(cluster)
    run(cluster, VolumeProtection)
    await cluster.settle()
    claim, volume = cluster.list(PersistentVolumeClaim)[0], cluster.list(PersistentVolume)[0]
    assert claim.metadata.finalizers == ("other", CLAIM_FINALIZER)
    assert volume.metadata.finalizers == (VOLUME_FINALIZER,)


async def test_a_claim_stays_while_a_pod_uses_it_even_one_that_has_ended(cluster: FakeCluster) -> None:
    cluster.load(make_claim(), user(phase="Succeeded"))
    run(cluster)
    await cluster.settle()
    await delete_claim(cluster)
    kept = is_there(cluster)

    cluster.delete(Pod, Key("default", "web"))
    await cluster.settle()

    assert kept
    assert not is_there(cluster)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(user(node=""), id="without-a-node"),
        pytest.param(user(volumes=[{"name": "v", "emptyDir": {}}]), id="of-another-volume"),
        pytest.param(user(namespace="other"), id="of-another-namespace"),
    ],
)
async def test_pods_that_do_not_use_it_do_not_hold_a_claim(cluster: FakeCluster, pod: Object) -> None:
    cluster.load(make_claim(), pod)
    run(cluster)
    await cluster.settle()
    await delete_claim(cluster)
    assert not is_there(cluster)


async def test_an_ephemeral_claim_is_held_by_its_own_pod_until_that_is_shut_down(
    cluster: FakeCluster,
) -> None:
    template: Object = {"volumeClaimTemplate": {"spec": {}}}
    pod = user(volumes=[{"name": "scratch", "ephemeral": template}])
    pod["metadata"]["finalizers"] = ["example.com/held"]
    stranger = user("stranger", volumes=[{"name": "scratch", "ephemeral": template}])
    cluster.load(pod, make_claim("web-scratch", owner=pod), make_claim("stranger-scratch"), stranger)
    run(cluster)
    await cluster.settle()
    for name in ("web-scratch", "stranger-scratch"):
        await cluster.client().delete(PersistentVolumeClaim, name, "default")
    await cluster.settle()
    held = [claim.metadata.name for claim in cluster.list(PersistentVolumeClaim)]

    pod["metadata"] |= {"deletionTimestamp": rfc3339(cluster.clock.now()), "deletionGracePeriodSeconds": 0}
    cluster.load(pod)
    await cluster.settle()

    assert held == ["web-scratch"]
    assert not cluster.list(PersistentVolumeClaim)


async def test_a_pod_that_the_cache_lacks_holds_its_claim(cluster: FakeCluster) -> None:
    cluster.load(make_claim(finalizers=[CLAIM_FINALIZER]))
    context = cluster.context()
    controller = ClaimProtection(context)
    await delete_claim(cluster)
    cluster.hold_watches()
    cluster.load(user())
    await controller.reconcile(CLAIM)
    assert is_there(cluster)


@pytest.mark.parametrize(("phase", "stays"), [("Bound", True), ("Available", False), ("Released", False)])
async def test_a_volume_stays_while_it_is_bound(cluster: FakeCluster, phase: str, stays: bool) -> None:
    cluster.load(make_volume(phase=phase))
    run(cluster, VolumeProtection)
    await cluster.settle()
    await cluster.client().delete(PersistentVolume, "disk")
    await cluster.settle()
    assert (cluster.get(PersistentVolume, Key("", "disk")) is not None) is stays


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_only_unused_claims_go(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(*(make_claim(f"data-{number}") for number in range(6)))
        for number in range(3):
            mounted = [{"name": "v", "persistentVolumeClaim": {"claimName": f"data-{number}"}}]
            cluster.load(user(f"web-{number}", volumes=mounted))
        run(cluster)
        await cluster.settle()
        for number in range(6):
            error = dice.choice([InternalError("broken"), Conflict("modified")])
            cluster.faults.fail_next(error, times=2, methods=("PATCH", "GET"))
            cluster.faults.lose_next_answers(times=1, methods=("PATCH",))
            if dice.uniform(0, 1) < 0.5:
                cluster.drop_watches()
            cluster.server.handle(
                "DELETE", PersistentVolumeClaim.API.path("default", f"data-{number}"), {}, b"", ""
            )
            await cluster.clock.advance(dice.uniform(0, 3))
        await cluster.advance(300)
        left = sorted(claim.metadata.name for claim in cluster.list(PersistentVolumeClaim))
        assert left == ["data-0", "data-1", "data-2"]
