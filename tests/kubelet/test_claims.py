"""From a pod's claim to the volume behind it."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.client.rest import Client
from kplane.kubelet.claims import ClaimCache
from kplane.kubelet.pod import Pod
from kplane.kubelet.volumes.volume import VolumeFailure
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node

from .support import NODE, pod_of

CLAIMED = {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}
EPHEMERAL: Object = {"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}


def claim(name: str = "mine", *, phase: str = "Bound", **metadata: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default", "uid": "claim-uid", **metadata},
        "spec": {"volumeName": "disk" if phase == "Bound" else ""},
        "status": {"phase": phase},
    }


def disk(claimed_by: str = "claim-uid", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {"local": {"path": "/disk"}, "claimRef": {"uid": claimed_by}, **spec},
    }


async def path_of(cluster: FakeCluster, pod: Pod) -> str:
    cache = ClaimCache(Client(cluster, clock=cluster.clock), NODE)
    found = await cache.get(pod, pod.spec.volumes[0])
    assert found.spec.local is not None
    return found.spec.local.path


async def test_claim_leads_to_its_volume(cluster: FakeCluster) -> None:
    cluster.load(claim(), disk())

    assert await path_of(cluster, pod_of(volumes=[CLAIMED])) == "/disk"


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        pytest.param([claim(phase="Pending")], "PVC is not bound", id="unbound"),
        pytest.param([claim(), disk("other")], "PVC is not bound to PV disk", id="of-another-claim"),
        pytest.param(
            [claim(), disk(volumeMode="Block")], "volumes of mode Block are not supported", id="block"
        ),
        pytest.param(
            [claim(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"]), disk()],
            "PVC is being deleted",
            id="deleted",
        ),
    ],
)
async def test_claim_that_cannot_be_used_says_why(
    cluster: FakeCluster, objects: list[Object], why: str
) -> None:
    cluster.load(*objects)

    with pytest.raises(VolumeFailure) as failure:
        await path_of(cluster, pod_of(volumes=[CLAIMED]))
    assert str(failure.value) == f"error processing PVC default/mine: {why}"


async def test_ephemeral_volume_has_a_claim_of_the_pods_own(cluster: FakeCluster) -> None:
    pod = pod_of(volumes=[EPHEMERAL])
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.metadata.uid, "controller": True}
    cluster.load(claim(f"{pod.metadata.name}-data", ownerReferences=[owner]), disk())

    assert await path_of(cluster, pod) == "/disk"


async def test_ephemeral_volume_refuses_a_strangers_claim(cluster: FakeCluster) -> None:
    pod = pod_of(volumes=[EPHEMERAL])
    cluster.load(claim(f"{pod.metadata.name}-data"), disk())

    with pytest.raises(VolumeFailure, match=r"was not created for pod .* \(pod is not owner\)"):
        await path_of(cluster, pod)


@pytest.mark.parametrize(
    ("operator", "values", "usable"),
    [("In", ["here"], True), ("NotIn", ["here"], False), ("Exists", [], True), ("DoesNotExist", [], False)],
)
async def test_volume_of_another_node_is_not_taken_for_one_of_this(
    cluster: FakeCluster, operator: str, values: list[str], usable: bool
) -> None:
    term = {"matchExpressions": [{"key": "place", "operator": operator, "values": values}]}
    affinity = {"required": {"nodeSelectorTerms": [term]}}
    cluster.load(make_node(NODE, labels={"place": "here"}), claim(), disk(nodeAffinity=affinity))

    if usable:
        assert await path_of(cluster, pod_of(volumes=[CLAIMED])) == "/disk"
        return
    with pytest.raises(VolumeFailure, match=r'for volume "disk" : no matching NodeSelectorTerms'):
        await path_of(cluster, pod_of(volumes=[CLAIMED]))
