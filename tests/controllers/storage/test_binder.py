"""Claims and volumes find each other, and lose each other."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError, Timeout, TooManyRequests
from kplane.api.resource import Key, Object
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.controllers.config import Config
from kplane.controllers.storage.binder import VolumeBinder
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod
from kplane.testing.storage import make_claim, make_storage_class, make_volume

CLAIM = Key("default", "data")
BOUND = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
BY_CONTROLLER = {"pv.kubernetes.io/bound-by-controller": "yes"}


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(VolumeBinder(context).reconcile))


async def settled(cluster: FakeCluster, *objects: Object) -> None:
    cluster.load(*objects)
    run(cluster)
    await cluster.advance(1)


def claim(cluster: FakeCluster, name: str = "data") -> PersistentVolumeClaim:
    found = cluster.get(PersistentVolumeClaim, Key("default", name))
    assert found is not None
    return found


def volume(cluster: FakeCluster, name: str = "disk") -> PersistentVolume:
    found = cluster.get(PersistentVolume, Key("", name))
    assert found is not None
    return found


def told(cluster: FakeCluster) -> list[tuple[str, str]]:
    return [(event.reason, event.message) for event in cluster.events()]


def bound_pair(**options: Any) -> tuple[Object, Object]:
    status = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    wanted = make_claim(annotations=BOUND, volumeName="disk", status=status)
    return wanted, make_volume(claim=wanted, phase="Bound", annotations=BY_CONTROLLER, **options)


async def test_a_claim_and_a_volume_are_bound(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim(), make_volume(size="2Gi"))

    found, disk = claim(cluster), volume(cluster)
    assert (found.spec.volume_name, found.status.phase) == ("disk", "Bound")
    assert found.status.capacity == {"storage": "2Gi"}
    assert found.status.access_modes == ("ReadWriteOnce",)
    assert found.metadata.annotations == BOUND
    assert disk.status.phase == "Bound"
    assert disk.metadata.annotations == BY_CONTROLLER
    ref = disk.spec.claim_ref
    assert ref is not None
    assert (ref.kind, ref.api_version, ref.namespace, ref.name, ref.uid) == (
        "PersistentVolumeClaim", "v1", "default", "data", found.metadata.uid,
    )  # fmt: skip


async def test_a_volume_nobody_wants_is_available(cluster: FakeCluster) -> None:
    await settled(cluster, make_volume())
    assert volume(cluster).status.phase == "Available"


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        pytest.param({}, [{"size": "5Gi"}, {"size": "2Gi"}, {"size": "3Gi"}], 1, id="smallest"),
        pytest.param({"size": "4Gi"}, [{"size": "5Gi"}, {"size": "2Gi"}], 0, id="large-enough"),
        pytest.param({"size": "9Gi"}, [{"size": "5Gi"}], None, id="none-large-enough"),
        pytest.param({}, [{"storage_class": "fast"}, {}], 1, id="class"),
        pytest.param(
            {"modes": ["ReadOnlyMany"]},
            [{"modes": ["ReadOnlyMany", "ReadWriteMany"]}, {"modes": ["ReadOnlyMany"], "size": "9Gi"}],
            1,
            id="fewest-modes-before-smallest-size",
        ),
        pytest.param({"modes": ["ReadWriteMany"]}, [{}], None, id="modes"),
        pytest.param({"volumeMode": "Block"}, [{}, {"volumeMode": "Block"}], 1, id="volume-mode"),
        pytest.param(
            {"selector": {"matchLabels": {"disk": "ssd"}}},
            [{}, {"labels": {"disk": "ssd"}}],
            1,
            id="selector",
        ),
        pytest.param(
            {"volumeAttributesClassName": "gold"},
            [{}, {"volumeAttributesClassName": "gold"}],
            1,
            id="attributes",
        ),
        pytest.param(
            {},
            [{}, {"size": "9Gi", "claimRef": {"namespace": "default", "name": "data"}}],
            1,
            id="reserved-first",
        ),
        pytest.param(
            {}, [{"claimRef": {"namespace": "default", "name": "x"}}], None, id="reserved-for-another"
        ),
    ],
)
async def test_the_volume_that_suits_is_chosen(
    cluster: FakeCluster, wanted: dict[str, Any], offered: list[dict[str, Any]], chosen: int | None
) -> None:
    disks = [make_volume(f"disk-{number}", **options) for number, options in enumerate(offered)]
    await settled(cluster, make_claim(**wanted), *disks)
    assert claim(cluster).spec.volume_name == ("" if chosen is None else f"disk-{chosen}")


async def test_a_volume_that_is_being_deleted_is_not_chosen(cluster: FakeCluster) -> None:
    disk = make_volume(finalizers=["x"])
    disk["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await settled(cluster, make_claim(), disk)
    assert claim(cluster).status.phase == "Pending"


async def test_a_claim_waits_for_a_volume_and_says_so(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim())
    assert told(cluster) == [
        ("FailedBinding", "no persistent volumes available for this claim and no storage class is set")
    ]
    cluster.load(make_volume())
    await cluster.advance(1)
    assert claim(cluster).status.phase == "Bound"


async def test_what_waits_says_so_again(cluster: FakeCluster) -> None:
    cluster.load(make_claim())
    context = cluster.context(options=Config(pvclaimbinder_sync_period=10))
    cluster.start(context.queue.run(VolumeBinder(context).reconcile))
    await cluster.advance(35)
    [event] = cluster.events()
    assert (event.reason, event.count) == ("FailedBinding", 4)


async def test_one_volume_goes_to_one_of_many_claims(cluster: FakeCluster) -> None:
    await settled(cluster, *(make_claim(f"data-{number}") for number in range(5)), make_volume())
    bound = [one for one in cluster.list(PersistentVolumeClaim) if one.status.phase == "Bound"]
    ref = volume(cluster).spec.claim_ref
    assert ref is not None
    assert [one.metadata.uid for one in bound] == [ref.uid]


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        pytest.param({"size": "1Mi"}, "requested PV is too small", id="size"),
        pytest.param({"storage_class": "fast"}, "storageClassName does not match", id="class"),
        pytest.param({"volumeMode": "Block"}, "incompatible volumeMode", id="volume-mode"),
        pytest.param({"modes": ["ReadOnlyMany"]}, "incompatible accessMode", id="access-mode"),
        pytest.param(
            {"volumeAttributesClassName": "gold"}, "volumeAttributesClassName does not match", id="attributes"
        ),
    ],
)
async def test_a_volume_asked_for_by_name_has_to_suit(
    cluster: FakeCluster, offered: dict[str, Any], why: str
) -> None:
    await settled(cluster, make_claim(volumeName="disk"), make_volume(**offered))
    assert claim(cluster).status.phase == "Pending"
    assert ("VolumeMismatch", f'Cannot bind to requested volume "disk": {why}') in told(cluster)


async def test_a_volume_asked_for_by_name_that_is_going_is_not_taken(cluster: FakeCluster) -> None:
    disk = make_volume(finalizers=["x"])
    disk["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await settled(cluster, make_claim(volumeName="disk"), disk)
    why = 'Cannot bind to requested volume "disk": the volume is marked for deletion "disk"'
    assert ("VolumeMismatch", why) in told(cluster)


async def test_a_volume_asked_for_by_name_is_bound_and_stays_the_users_choice(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim(volumeName="disk"), make_volume(), make_volume("small", size="1Gi"))
    found = claim(cluster)
    assert (found.status.phase, found.spec.volume_name) == ("Bound", "disk")
    assert found.metadata.annotations == {"pv.kubernetes.io/bind-completed": "yes"}


async def test_a_volume_asked_for_by_name_that_somebody_has_is_waited_for(cluster: FakeCluster) -> None:
    other = make_claim("other", annotations=BOUND, volumeName="disk", status={"phase": "Bound"})
    await settled(cluster, other, make_volume(claim=other, phase="Bound"), make_claim(volumeName="disk"))
    assert claim(cluster).status.phase == "Pending"
    assert ("FailedBinding", 'volume "disk" already bound to a different claim.') in told(cluster)


async def test_a_default_class_is_given_to_claims_that_came_before_it(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim(storage_class=None), make_claim("none", storage_class=""))
    cluster.load(make_storage_class(default=True))
    await cluster.advance(1)
    assert claim(cluster).spec.storage_class_name == "fast"
    assert claim(cluster, "none").spec.storage_class_name == ""


async def test_an_external_provisioner_is_asked(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim(storage_class="fast"), make_storage_class())
    asked = claim(cluster).metadata.annotations
    assert asked == {
        "volume.beta.kubernetes.io/storage-provisioner": "csi.example.com",
        "volume.kubernetes.io/storage-provisioner": "csi.example.com",
    }
    reason, message = told(cluster)[0]
    assert reason == "ExternalProvisioning"
    assert message.startswith("Waiting for a volume to be created either by the external provisioner 'csi.")

    provisioned = make_volume(storage_class="fast", claim=make_claim())
    cluster.load(provisioned)
    await cluster.advance(1)
    assert claim(cluster).status.phase == "Bound"


async def test_no_provisioner_is_asked_where_that_is_switched_off(cluster: FakeCluster) -> None:
    cluster.load(make_claim(storage_class="fast"), make_storage_class())
    context = cluster.context(options=Config(enable_dynamic_provisioning=False))
    cluster.start(context.queue.run(VolumeBinder(context).reconcile))
    await cluster.advance(1)
    assert claim(cluster).metadata.annotations == {}
    assert told(cluster) == []


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        pytest.param([], 'storageclass.storage.k8s.io "fast" not found', id="no-class"),
        pytest.param(
            [make_storage_class(provisioner="kubernetes.io/no-provisioner")],
            "no volume plugin matched name: kubernetes.io/no-provisioner",
            id="no-provisioner",
        ),
    ],
)
async def test_what_cannot_be_provisioned_is_told(
    cluster: FakeCluster, classes: list[Object], message: str
) -> None:
    await settled(cluster, make_claim(storage_class="fast"), *classes)
    assert ("ProvisioningFailed", message) in told(cluster)


async def test_a_delayed_claim_waits_for_its_consumer(cluster: FakeCluster) -> None:
    late = make_storage_class(mode="WaitForFirstConsumer")
    disk = make_volume(storage_class="fast")
    await settled(cluster, make_claim(storage_class="fast"), late, disk)
    mounted = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    cluster.load(make_pod(volumes=mounted))
    await cluster.settle()
    waiting = told(cluster)
    unbound = volume(cluster).spec.claim_ref

    # The scheduler has chosen the volume.
    cluster.load(disk | {"spec": disk["spec"] | {"claimRef": {"namespace": "default", "name": "data"}}})
    await cluster.advance(1)

    assert waiting[0] == (
        "WaitForFirstConsumer", "waiting for first consumer to be created before binding",
    )  # fmt: skip
    assert waiting[-1] == ("WaitForPodScheduled", "waiting for pod web to be scheduled")
    assert unbound is None
    assert claim(cluster).status.phase == "Bound"


async def test_a_delayed_claim_is_provisioned_once_a_node_is_chosen(cluster: FakeCluster) -> None:
    selected = {"volume.kubernetes.io/selected-node": "node-1"}
    wanted = make_claim(storage_class="fast", annotations=selected)
    await settled(cluster, wanted, make_storage_class(mode="WaitForFirstConsumer"))
    assert told(cluster)[0][0] == "ExternalProvisioning"


@pytest.mark.parametrize(
    ("options", "phase", "message"),
    [
        pytest.param({}, "Released", "", id="retained"),
        pytest.param(
            {"policy": "Delete"},
            "Failed",
            'error getting deleter volume plugin for volume "disk": no volume plugin matched',
            id="nobody-deletes-it",
        ),
        pytest.param(
            {"policy": "Delete", "hostPath": {"path": "/data"}},
            "Failed",
            "host_path deleter only supports /tmp/.+ but received provided /data",
            id="host-path",
        ),
        pytest.param(
            {"policy": "Recycle"}, "Failed", "No recycler plugin found for the volume!", id="recycled"
        ),
    ],
)
async def test_a_volume_whose_claim_has_gone(
    cluster: FakeCluster, options: dict[str, Any], phase: str, message: str
) -> None:
    await settled(cluster, *bound_pair(**options))
    cluster.delete(PersistentVolumeClaim, CLAIM)
    await cluster.advance(1)
    status = volume(cluster).status
    assert (status.phase, status.message) == (phase, message)
    if message:
        failed = "VolumeFailedRecycle" if options["policy"] == "Recycle" else "VolumeFailedDelete"
        assert told(cluster) == [(failed, message)]


async def test_a_provisioned_volume_is_left_to_its_provisioner(cluster: FakeCluster) -> None:
    wanted, disk = bound_pair(policy="Delete")
    disk["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] = "csi.example.com"
    await settled(cluster, wanted, disk)
    cluster.delete(PersistentVolumeClaim, CLAIM)
    await cluster.advance(60)
    assert volume(cluster).status.phase == "Released"
    assert told(cluster) == []


async def test_a_claim_of_the_same_name_is_another_claim(cluster: FakeCluster) -> None:
    wanted, disk = bound_pair()
    anew = make_claim()
    anew["metadata"]["uid"] = "another"
    await settled(cluster, anew, disk)
    assert wanted["metadata"]["uid"] != "another"
    assert volume(cluster).status.phase == "Released"
    assert claim(cluster).status.phase == "Pending"


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        pytest.param(
            "delete",
            "ClaimLost",
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            id="volume-deleted",
        ),
        pytest.param(
            "steal",
            "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
            id="volume-of-another",
        ),
    ],
)
async def test_a_claim_that_loses_its_volume_is_lost(
    cluster: FakeCluster, change: str, reason: str, message: str
) -> None:
    wanted, disk = bound_pair()
    await settled(cluster, wanted, disk)
    if change == "delete":
        cluster.delete(PersistentVolume, Key("", "disk"))
    else:
        disk["spec"]["claimRef"]["uid"] = "another"
        cluster.load(disk)
    await cluster.advance(1)
    found = claim(cluster).status
    assert (found.phase, found.capacity, found.access_modes) == ("Lost", {}, ())
    assert told(cluster) == [(reason, message)]


@pytest.mark.parametrize("by_user", [True, False])
async def test_a_volume_whose_claim_went_elsewhere_is_free_again(cluster: FakeCluster, by_user: bool) -> None:
    wanted = make_claim(annotations=BOUND, volumeName="other", status={"phase": "Bound"})
    reserved = make_volume(claim=wanted, annotations={} if by_user else BY_CONTROLLER)
    await settled(cluster, wanted, make_volume("other", claim=wanted, phase="Bound"), reserved)
    found = volume(cluster)
    assert found.status.phase == "Available"
    assert (found.spec.claim_ref is not None) is by_user
    assert found.spec.claim_ref is None or found.spec.claim_ref.uid == ""


async def test_a_reservation_of_the_wrong_mode_is_told_to_both(cluster: FakeCluster) -> None:
    wanted = make_claim(volumeMode="Block")
    await settled(cluster, wanted, make_volume(claim=wanted))
    assert {reason for reason, _ in told(cluster)} >= {"VolumeMismatch"}
    about = {event.involved_object.kind for event in cluster.events() if event.reason == "VolumeMismatch"}
    assert about == {"PersistentVolume", "PersistentVolumeClaim"}


async def test_a_selector_that_makes_no_sense_stops_its_own_claim_alone(cluster: FakeCluster) -> None:
    nonsense = {"matchExpressions": [{"key": "disk", "operator": "Near"}]}
    await settled(cluster, make_claim("bad", selector=nonsense), make_claim(), make_volume())
    assert claim(cluster).status.phase == "Bound"
    assert claim(cluster, "bad").spec.volume_name == ""


async def test_what_others_say_in_a_status_stays(cluster: FakeCluster) -> None:
    disk = make_volume(phase="Available")
    disk["status"] |= {"message": "patched", "reason": "Patched"}
    await settled(cluster, disk)
    assert (volume(cluster).status.message, volume(cluster).status.reason) == ("patched", "Patched")


async def test_what_is_bound_is_not_written_again(cluster: FakeCluster) -> None:
    await settled(cluster, make_claim(), make_volume())
    before = claim(cluster).metadata.resource_version, volume(cluster).metadata.resource_version
    cluster.drop_watches()
    await cluster.advance(3600)
    after = claim(cluster).metadata.resource_version, volume(cluster).metadata.resource_version
    assert before == after


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_each_claim_gets_one_volume_and_each_volume_one_claim(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        run(cluster)
        for turn in range(20):
            errors = [InternalError("broken"), Conflict("modified"), TooManyRequests("slow"), Timeout("late")]
            cluster.faults.fail_next(dice.choice(errors), times=2)
            cluster.faults.lose_next_answers(times=1)
            if dice.uniform(0, 1) < 0.3:
                cluster.drop_watches()
            if turn == 10:
                run(cluster)  # A second one, as after a restart whose predecessor lingers.
            cluster.load(make_claim(f"data-{turn}"), make_volume(f"disk-{turn}"))
            await cluster.clock.advance(dice.uniform(0, 2))
        cluster.faults.clear()
        await cluster.advance(2000)

        claims, volumes = cluster.list(PersistentVolumeClaim), cluster.list(PersistentVolume)
        assert {one.status.phase for one in claims} == {one.status.phase for one in volumes} == {"Bound"}
        pairs = {(one.metadata.uid, one.spec.volume_name) for one in claims}
        back = {(one.spec.claim_ref.uid, one.metadata.name) for one in volumes if one.spec.claim_ref}
        assert pairs == back
