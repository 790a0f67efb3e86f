"""VolumeAttributesClasses go when no claim and no volume names them any more, and not earlier."""

from __future__ import annotations

import pytest

from kplane.api.resource import Key, Object
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.controllers.storage.classprotection import FINALIZER, AttributesClass, AttributesClassProtection
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object
from kplane.testing.storage import make_claim, make_volume

GOLD = Key("", "gold")


def make_class(name: str = "gold") -> Object:
    return make_object("storage.k8s.io/v1", "VolumeAttributesClass", name, driverName="csi.example.com")


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(AttributesClassProtection(context).reconcile))


async def delete_class(cluster: FakeCluster) -> bool:
    """Whether it is gone."""
    await cluster.settle()
    await cluster.client().delete(AttributesClass, "gold")
    await cluster.settle()
    return cluster.get(AttributesClass, GOLD) is None


async def test_a_class_without_the_finalizer_gets_it(cluster: FakeCluster) -> None:
    cluster.load(make_class())
    run(cluster)
    await cluster.settle()
    assert cluster.list(AttributesClass)[0].metadata.finalizers == (FINALIZER,)


async def test_a_class_that_nobody_names_goes(cluster: FakeCluster) -> None:
    cluster.load(make_class(), make_claim(volumeAttributesClassName="silver"), make_volume())
    run(cluster)
    assert await delete_class(cluster)


TO_GOLD: Object = {"targetVolumeAttributesClassName": "gold", "status": "Pending"}


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(make_claim(volumeAttributesClassName="gold"), id="wanted"),
        pytest.param(make_claim(status={"currentVolumeAttributesClassName": "gold"}), id="current"),
        pytest.param(
            make_claim(
                status={
                    "modifyVolumeStatus": {"targetVolumeAttributesClassName": "gold", "status": "Pending"}
                }
            ),
            id="target",
        ),
    ],
)
async def test_a_class_stays_while_a_claim_names_it(cluster: FakeCluster, claim: Object) -> None:
    cluster.load(make_class(), claim)
    run(cluster)
    kept = not await delete_class(cluster)

    cluster.delete(PersistentVolumeClaim, Key("default", "data"))
    await cluster.settle()

    assert kept
    assert cluster.get(AttributesClass, GOLD) is None


async def test_a_claim_that_moves_on_to_another_class_lets_it_go(cluster: FakeCluster) -> None:
    cluster.load(make_class(), make_claim(volumeAttributesClassName="gold"))
    run(cluster)
    assert not await delete_class(cluster)

    cluster.load(make_claim(volumeAttributesClassName="silver"))
    await cluster.settle()

    assert cluster.get(AttributesClass, GOLD) is None


async def test_a_class_stays_while_a_volume_names_it(cluster: FakeCluster) -> None:
    cluster.load(make_class(), make_volume(volumeAttributesClassName="gold"))
    run(cluster)
    kept = not await delete_class(cluster)

    cluster.delete(PersistentVolume, Key("", "disk"))
    await cluster.settle()

    assert kept
    assert cluster.get(AttributesClass, GOLD) is None
