"""Claims that should grow say that somebody else has to do it."""

from __future__ import annotations

from kplane.api.resource import Key, Object
from kplane.api.types.storage import PersistentVolumeClaim
from kplane.controllers.storage.expander import RESIZER, VolumeExpander
from kplane.testing.cluster import FakeCluster
from kplane.testing.storage import make_claim, make_volume

BOUND: Object = {"phase": "Bound", "capacity": {"storage": "1Gi"}}


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(VolumeExpander(context).reconcile))


async def test_only_growth_is_told_and_each_wish_once(cluster: FakeCluster) -> None:
    claim = make_claim(volumeName="disk", status=BOUND)
    cluster.load(claim, make_volume(claim=claim))
    run(cluster)
    await cluster.settle()
    quiet = len(cluster.events())
    larger = make_claim(volumeName="disk", size="2Gi", status=BOUND)
    cluster.load(larger)
    await cluster.settle()
    cluster.load(larger | {"status": BOUND | {"conditions": [{"type": "Resizing", "status": "True"}]}})
    await cluster.settle()
    assert quiet == 0
    (event,) = cluster.events()
    assert (event.reason, event.type, event.count) == ("ExternalExpanding", "Normal", 1)
    assert event.message == "waiting for an external controller to expand this PVC"


async def test_a_volume_of_another_claim_is_not_grown(cluster: FakeCluster) -> None:
    cluster.load(make_claim(volumeName="disk", size="2Gi", status=BOUND))
    cluster.load(make_volume(claim=make_claim("other")))
    run(cluster)
    await cluster.settle()
    assert cluster.events() == []


async def test_the_driver_that_took_over_is_named(cluster: FakeCluster) -> None:
    claim = make_claim(volumeName="disk", size="2Gi", status=BOUND)
    by = {"pv.kubernetes.io/provisioned-by": "kubernetes.io/aws-ebs"}
    cluster.load(claim, make_volume(claim=claim, annotations=by))
    run(cluster)
    await cluster.settle()
    found = cluster.get(PersistentVolumeClaim, Key("default", "data"))
    assert found is not None
    assert found.metadata.annotations[RESIZER] == "ebs.csi.aws.com"
    (event,) = cluster.events()
    assert event.message == (
        "CSI migration enabled for kubernetes.io/aws-ebs; waiting for external resizer to expand the pvc"
    )
