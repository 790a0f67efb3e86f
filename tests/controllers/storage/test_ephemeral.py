"""Generic ephemeral volumes get claims of their own."""

from __future__ import annotations

from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types.storage import PersistentVolumeClaim
from kplane.controllers.storage.ephemeral import EphemeralVolumeController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod
from kplane.testing.storage import make_claim

CLAIM = Key("default", "web-scratch")
TEMPLATE: Object = {
    "metadata": {"labels": {"kind": "scratch"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(EphemeralVolumeController(context).reconcile))


def pod() -> Object:
    source = {"volumeClaimTemplate": TEMPLATE}
    return make_pod(volumes=[{"name": "scratch", "ephemeral": source}, {"name": "x", "emptyDir": {}}])


async def test_the_claim_is_made_from_its_template_and_again_if_it_is_deleted(cluster: FakeCluster) -> None:
    cluster.load(pod())
    run(cluster)
    await cluster.settle()
    first = cluster.get(PersistentVolumeClaim, CLAIM)
    cluster.delete(PersistentVolumeClaim, CLAIM)
    await cluster.settle()
    second = cluster.get(PersistentVolumeClaim, CLAIM)

    assert first is not None
    assert second is not None
    assert first.metadata.uid != second.metadata.uid
    assert second.metadata.labels == {"kind": "scratch"}
    assert second.spec.resources.requests == {"storage": "1Gi"}
    owner = second.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name, owner.uid) == ("Pod", "web", "pod-default-web")


async def test_somebody_elses_claim_is_left_alone_and_told(cluster: FakeCluster) -> None:
    cluster.load(pod(), make_claim("web-scratch"))
    run(cluster)
    await cluster.settle()
    (event,) = cluster.events()
    assert (event.type, event.reason) == ("Warning", "FailedBinding")
    assert event.message == (
        "ephemeral volume scratch: PVC default/web-scratch was not created for pod default/web "
        "(pod is not owner)"
    )
    cluster.delete(PersistentVolumeClaim, CLAIM)
    await cluster.settle()
    assert cluster.get(PersistentVolumeClaim, CLAIM) is not None


async def test_a_failed_creation_is_told_and_tried_again(cluster: FakeCluster) -> None:
    cluster.load(pod())
    cluster.faults.fail_next(InternalError("broken"), plural="persistentvolumeclaims")
    cluster.faults.lose_next_answers(plural="persistentvolumeclaims")
    run(cluster)
    await cluster.advance(5)
    assert cluster.get(PersistentVolumeClaim, CLAIM) is not None
    assert cluster.events()[0].message == "ephemeral volume scratch: create PVC web-scratch: broken"


async def test_a_pod_that_is_going_gets_none(cluster: FakeCluster) -> None:
    going = pod()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    cluster.load(going)
    run(cluster)
    await cluster.settle()
    assert not cluster.list(PersistentVolumeClaim)


async def test_a_terminating_namespace_ends_the_matter(cluster: FakeCluster) -> None:
    cluster.load(pod())
    refusal = Forbidden("being terminated", {"causes": [{"reason": "NamespaceTerminating"}]})
    cluster.faults.fail_next(refusal, plural="persistentvolumeclaims")
    run(cluster)
    await cluster.advance(60)
    assert cluster.get(PersistentVolumeClaim, CLAIM) is None
    assert cluster.events() == []
