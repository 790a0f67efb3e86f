"""Volumes are attached where Pods are, and detached where nobody holds them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.storage import VolumeAttachment
from kplane.controllers.config import Config
from kplane.controllers.storage.attachdetach import MANAGED, AttachDetachController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object, make_pod
from kplane.testing.storage import make_claim, make_volume

NAME = "kubernetes.io/csi/csi.example.com^disk"
CLAIM = make_claim(volumeName="disk", status={"phase": "Bound"})
MOUNTED = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


def node(name: str = "a", **options: Any) -> Object:
    made = make_node(name, **options)
    made["metadata"]["annotations"] = {MANAGED: "true"}
    return made


def pod(name: str = "web", on: str = "a", **options: Any) -> Object:
    return make_pod(name, node=on, volumes=MOUNTED, **options)


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(AttachDetachController(context).reconcile))


async def start(cluster: FakeCluster, *objects: Object, **volume: Any) -> None:
    cluster.load(CLAIM, make_volume(claim=CLAIM, **volume), *objects)
    run(cluster)
    await cluster.settle()


async def play_attacher(cluster: FakeCluster) -> None:
    for entry in cluster.list(VolumeAttachment):
        body = {"status": {"attached": True}}
        await cluster.client().patch(VolumeAttachment, entry.metadata.name, "", body, subresource="status")
    await cluster.settle()


async def hold(cluster: FakeCluster, *names: str) -> None:
    body = {"status": {"volumesInUse": list(names)}}
    await cluster.client().patch(Node, "a", "", body, subresource="status")
    await cluster.settle()


def attached(cluster: FakeCluster) -> set[str]:
    """The nodes that have the volume."""
    return {entry.spec.node_name for entry in cluster.list(VolumeAttachment)}


def shown(cluster: FakeCluster, name: str = "a") -> list[str]:
    found = cluster.get(Node, Key("", name))
    assert found is not None
    return [entry.name for entry in found.status.volumes_attached]


async def test_a_volume_is_attached_and_shown_once_it_is(cluster: FakeCluster) -> None:
    await start(cluster, node(), pod())
    (entry,) = cluster.list(VolumeAttachment)
    before = shown(cluster)
    await play_attacher(cluster)

    assert entry.metadata.name == "csi-" + hashlib.sha256(b"diskcsi.example.coma").hexdigest()
    assert (entry.spec.attacher, entry.spec.node_name) == ("csi.example.com", "a")
    assert entry.spec.source.persistent_volume_name == "disk"
    assert (before, shown(cluster)) == ([], [NAME])
    (event,) = cluster.events()
    assert (event.reason, event.message) == (
        "SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "disk" ',
    )  # fmt: skip


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([make_node("a"), pod()], id="the-kubelet-attaches-itself"),
        pytest.param([node(), pod(phase="Succeeded")], id="ended"),
        pytest.param(
            [node(), pod(), make_object("storage.k8s.io/v1", "CSIDriver", "csi.example.com",
                                        spec={"attachRequired": False})],
            id="nothing-to-attach",
        ),
    ],
)  # fmt: skip
async def test_not_every_volume_is_attached(cluster: FakeCluster, objects: list[Object]) -> None:
    await start(cluster, *objects)
    assert attached(cluster) == set()


async def test_a_volume_is_detached_when_the_kubelet_lets_go(cluster: FakeCluster) -> None:
    await start(cluster, node(), pod())
    await play_attacher(cluster)
    await hold(cluster, NAME)
    cluster.delete(Pod, Key("default", "web"))
    await cluster.advance(1000)
    kept = attached(cluster)
    await hold(cluster)

    assert kept == {"a"}
    assert attached(cluster) == set()
    assert shown(cluster) == []


MULTI = 'Multi-Attach error for volume "disk" {}'


def failures(cluster: FakeCluster) -> list[str]:
    return [event.message for event in cluster.events() if event.reason == "FailedAttachVolume"]


async def test_a_volume_that_another_node_still_has_is_told_once(cluster: FakeCluster) -> None:
    await start(cluster, node(), node("b"), pod())
    await play_attacher(cluster)
    await hold(cluster, NAME)
    cluster.delete(Pod, Key("default", "web"))
    cluster.load(pod("late", "b"), pod("later", "b"))
    await cluster.advance(100)
    why = "Volume is already exclusively attached to one node and can't be attached to another"
    told = [
        (event.involved_object.name, event.count) for event in cluster.events() if "Multi" in event.message
    ]
    assert set(failures(cluster)) == {MULTI.format(why)}
    assert sorted(told) == [("late", 1), ("later", 1)]


async def test_an_attacher_that_fails_is_told_of(cluster: FakeCluster) -> None:
    await start(cluster, node(), pod())
    (entry,) = cluster.list(VolumeAttachment)
    body = {"status": {"attached": False, "attachError": {"message": "no such disk"}}}
    for _ in range(2):
        await cluster.client().patch(VolumeAttachment, entry.metadata.name, "", body, subresource="status")
        await cluster.advance(300)
    assert failures(cluster) == ['AttachVolume.Attach failed for volume "disk" : no such disk']


async def test_an_attacher_that_says_nothing_is_told_of(cluster: FakeCluster) -> None:
    await start(cluster, node(), pod())
    await cluster.advance(119)
    early = failures(cluster)
    await cluster.advance(2)
    assert early == []
    assert failures(cluster) == [
        'AttachVolume.Attach failed for volume "disk" : timed out waiting for external-attacher of '
        "csi.example.com CSI driver to attach volume disk"
    ]


async def test_a_driver_that_needs_no_attachment_ends_those_that_there_are(cluster: FakeCluster) -> None:
    await start(cluster, node(), pod())
    before = attached(cluster)
    spec = {"attachRequired": False}
    cluster.load(make_object("storage.k8s.io/v1", "CSIDriver", "csi.example.com", spec=spec))
    await cluster.settle()
    assert (before, attached(cluster)) == ({"a"}, set())


@pytest.mark.parametrize("held", [False, True])
async def test_of_a_node_that_is_gone_only_what_it_held_is_waited_for(
    cluster: FakeCluster, held: bool
) -> None:
    await start(cluster, node(), pod())
    await play_attacher(cluster)
    await hold(cluster, *([NAME] if held else []))
    cluster.delete(Node, Key("", "a"))
    cluster.delete(Pod, Key("default", "web"))
    await cluster.settle()
    early = attached(cluster)
    await cluster.advance(400)
    assert early == ({"a"} if held else set())
    assert attached(cluster) == set()


async def test_a_volume_stays_at_an_unhealthy_node_where_none_is_to_be_taken(cluster: FakeCluster) -> None:
    cluster.load(CLAIM, make_volume(claim=CLAIM), node(), pod())
    context = cluster.context(options=Config(disable_force_detach_on_timeout=True))
    cluster.start(context.queue.run(AttachDetachController(context).reconcile))
    await cluster.settle()
    await play_attacher(cluster)
    lost = node(ready=False)
    lost["status"] |= {"volumesInUse": [NAME], "volumesAttached": [{"name": NAME, "devicePath": ""}]}
    cluster.load(lost)
    cluster.delete(Pod, Key("default", "web"))
    await cluster.advance(1000)
    assert attached(cluster) == {"a"}


async def test_attached_volumes_and_those_taken_by_force_are_counted(cluster: FakeCluster) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0

    forced = "attach_detach_controller_attachdetach_controller_forced_detaches"
    before = value(forced, reason="timeout")
    await start(cluster, node(), pod())
    await play_attacher(cluster)
    plugin, total = "kubernetes.io/csi:csi.example.com", "attachdetach_controller_total_volumes"
    states = [
        value(total, plugin_name=plugin, state=state)
        for state in ("desired_state_of_world", "actual_state_of_world")
    ]
    await hold(cluster, NAME)
    cluster.delete(Pod, Key("default", "web"))
    lost = node(ready=False)
    lost["status"] |= {"volumesInUse": [NAME], "volumesAttached": [{"name": NAME, "devicePath": ""}]}
    cluster.load(lost)
    await cluster.advance(400)
    assert states == [1, 1]
    assert value(forced, reason="timeout") == before + 1


async def test_a_volume_without_a_source_leaves_the_others_alone(cluster: FakeCluster) -> None:
    odd = make_claim("odd", volumeName="nothing", status={"phase": "Bound"})
    strange = make_volume("nothing", claim=odd)
    del strange["spec"]["csi"]
    wants = [{"name": "o", "persistentVolumeClaim": {"claimName": "odd"}}, *MOUNTED]
    await start(cluster, node(), odd, strange, make_pod("web", node="a", volumes=wants))
    assert attached(cluster) == {"a"}


@pytest.mark.parametrize("how", ["unhealthy", "out-of-service"])
async def test_a_volume_is_taken_from_a_node_that_will_not_come_back(cluster: FakeCluster, how: str) -> None:
    await start(cluster, node(), pod())
    await play_attacher(cluster)
    await hold(cluster, NAME)
    cluster.delete(Pod, Key("default", "web"))
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    lost = node(ready=False, taints=[taint] if how == "out-of-service" else [])
    lost["status"] |= {"volumesInUse": [NAME], "volumesAttached": [{"name": NAME, "devicePath": ""}]}
    cluster.load(lost)
    await cluster.advance(300)
    early = attached(cluster)
    await cluster.advance(100)
    assert early == ({"a"} if how == "unhealthy" else set())
    assert attached(cluster) == set()


async def test_a_volume_for_one_node_waits_for_the_other_to_let_go(cluster: FakeCluster) -> None:
    await start(cluster, node(), node("b"), pod())
    await play_attacher(cluster)
    await hold(cluster, NAME)
    cluster.load(pod("late", "b"))
    await cluster.settle()
    early = attached(cluster)
    cluster.delete(Pod, Key("default", "web"))
    await hold(cluster)
    assert early == {"a"}
    assert attached(cluster) == {"b"}
    assert MULTI.format("Volume is already used by pod(s) web") in failures(cluster)


async def test_of_two_nodes_that_want_it_at_once_one_gets_a_volume(cluster: FakeCluster) -> None:
    cluster.load(CLAIM, make_volume(claim=CLAIM), node(), node("b"), pod(), pod("other", "b"))
    context = cluster.context()
    controller = AttachDetachController(context)
    cluster.hold_watches()
    await controller.reconcile(Key("", "a"))
    await controller.reconcile(Key("", "b"))
    assert attached(cluster) == {"a"}


async def test_a_volume_for_many_nodes_is_attached_to_all(cluster: FakeCluster) -> None:
    await start(cluster, node(), node("b"), pod(), pod("other", "b"), modes=["ReadWriteMany"])
    assert attached(cluster) == {"a", "b"}


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_the_volume_is_where_its_pod_is(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        await start(cluster, node(), node("b"))
        place = ""
        for _ in range(20):
            cluster.faults.fail_next(dice.choice([InternalError("broken"), Conflict("old")]), times=2)
            cluster.faults.lose_next_answers(times=1)
            if dice.uniform(0, 1) < 0.3:
                cluster.drop_watches()
            place = dice.choice(["a", "b"])
            cluster.load(pod(on=place))
            await cluster.clock.advance(dice.uniform(0, 5))
            assert len(cluster.list(VolumeAttachment)) <= 1
        cluster.faults.clear()
        await cluster.advance(1200)
        assert attached(cluster) == {place}
