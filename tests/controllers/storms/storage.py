"""Stories of volumes: a claim has one volume, a volume one claim, and nothing goes while it is used."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim, VolumeAttachment
from kplane.controllers.storage.attachdetach import MANAGED
from kplane.controllers.storage.classprotection import FINALIZER, AttributesClass
from kplane.controllers.storageversionmigrator import Migration
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node, make_object, make_pod
from kplane.testing.storage import make_claim, make_volume

from .scenario import Scenario

MOUNTED = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]


def _volumes(cluster: FakeCluster) -> Any:
    """How many claims have a volume that has them, and the phases of all volumes."""
    volumes = {found.metadata.name: found for found in cluster.list(PersistentVolume)}
    pairs = 0
    for claim in cluster.list(PersistentVolumeClaim):
        if claim.spec.volume_name:
            reference = volumes[claim.spec.volume_name].spec.claim_ref
            assert reference is not None
            pairs += reference.uid == claim.metadata.uid and claim.status.phase == "Bound"
    return pairs, sorted(found.status.phase for found in volumes.values())


def _want_more(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        cluster.load(make_claim("late"))
    if step == 4:
        cluster.delete(PersistentVolumeClaim, Key("default", "data"))


BINDER = Scenario(
    controllers=["persistentvolume-binder-controller"],
    objects=lambda: [
        make_claim(), make_claim("other"), *(make_volume(f"disk-{number}") for number in range(4)),
    ],
    world=_want_more,
    outcome=_volumes,
    expected=(2, ["Available", "Bound", "Bound", "Released"]),
)  # fmt: skip


def _give_up_claim(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        for path in ("namespaces/default/persistentvolumeclaims/data", "persistentvolumes/disk"):
            cluster.server.handle("DELETE", f"/api/v1/{path}", {}, b"", "")
    if step == 5:
        assert cluster.get(PersistentVolumeClaim, Key("default", "data")) is not None
        cluster.delete(Pod, Key("default", "web"))


def _used() -> list[Object]:
    claim = make_claim(volumeName="disk", status={"phase": "Bound"})
    return [claim, make_volume(claim=claim), make_pod(node="node-1", volumes=MOUNTED), make_claim("kept")]


PROTECTION = Scenario(
    controllers=["persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller"],
    objects=_used,
    world=_give_up_claim,
    outcome=lambda cluster: (
        {found.metadata.name: found.metadata.finalizers for found in cluster.list(PersistentVolumeClaim)},
        len(cluster.list(PersistentVolume)),
    ),
    expected=({"kept": ("kubernetes.io/pvc-protection",)}, 0),
)


def _attributes(name: str, *finalizers: str) -> Object:
    return make_object(
        AttributesClass.API.api_version, AttributesClass.API.kind, name, driverName="csi.example.com",
        finalizers=list(finalizers),
    )  # fmt: skip


def _named_classes() -> list[Object]:
    """A claim names gold, a volume silver, nobody iron."""
    return [
        _attributes("gold", FINALIZER), _attributes("silver", FINALIZER), _attributes("iron"),
        make_claim(volumeAttributesClassName="gold"), make_volume(volumeAttributesClassName="silver"),
    ]  # fmt: skip


def _give_up_classes(cluster: FakeCluster, step: int) -> None:
    if step == 2:
        for name in ("gold", "silver"):
            cluster.server.handle("DELETE", AttributesClass.API.path("", name), {}, b"", "")
    if step == 5:
        assert cluster.get(AttributesClass, Key("", "gold")) is not None
        cluster.delete(PersistentVolumeClaim, Key("default", "data"))


CLASSES = Scenario(
    controllers=["volumeattributesclass-protection-controller"],
    objects=_named_classes,
    world=_give_up_classes,
    outcome=lambda cluster: {
        found.metadata.name: found.metadata.finalizers for found in cluster.list(AttributesClass)
    },
    expected={"silver": (FINALIZER,), "iron": (FINALIZER,)},
)


def _ephemeral(name: str) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return make_pod(name, volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}])


def _add_pod(cluster: FakeCluster, step: int) -> None:
    if step in (1, 3):
        cluster.load(_ephemeral(f"more-{step}"))


EPHEMERAL = Scenario(
    controllers=["ephemeral-volume-controller"],
    objects=lambda: [_ephemeral("web")],
    world=_add_pod,
    outcome=lambda cluster: sorted(found.metadata.name for found in cluster.list(PersistentVolumeClaim)),
    expected=["more-1-scratch", "more-3-scratch", "web-scratch"],
)


def _attach(cluster: FakeCluster, step: int) -> None:
    """What the driver's attacher does; the Pod moves from a to b."""
    for entry in cluster.list(VolumeAttachment.API.as_type(dict)):
        if not entry.get("status", {}).get("attached"):
            cluster.load(entry | {"status": {"attached": True}})
    if step == 3:
        cluster.delete(Pod, Key("default", "web"))
        cluster.load(make_pod("moved", node="b", volumes=MOUNTED))


def _managed(name: str) -> Object:
    node = make_node(name)
    node["metadata"]["annotations"] = {MANAGED: "true"}
    return node


def _attachable() -> list[Object]:
    claim = make_claim(volumeName="disk", status={"phase": "Bound"})
    pod = make_pod(node="a", volumes=MOUNTED)
    return [claim, make_volume(claim=claim), _managed("a"), _managed("b"), pod]


ATTACH = Scenario(
    controllers=["persistentvolume-attach-detach-controller"],
    objects=_attachable,
    world=_attach,
    outcome=lambda cluster: [found.spec.node_name for found in cluster.list(VolumeAttachment)],
    expected=["b"],
    steps=12,
    pace=60,
)


def _growing() -> list[Object]:
    status: Object = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    claim = make_claim(volumeName="disk", size="2Gi", status=status)
    by = {"pv.kubernetes.io/provisioned-by": "kubernetes.io/aws-ebs"}
    return [claim, make_volume(claim=claim, annotations=by)]


EXPANSION = Scenario(
    controllers=["persistentvolume-expander-controller"],
    objects=_growing,
    outcome=lambda cluster: [
        found.metadata.annotations.get("volume.kubernetes.io/storage-resizer")
        for found in cluster.list(PersistentVolumeClaim)
    ],
    expected=["ebs.csi.aws.com"],
)


def _migration(name: str, resource: str) -> Object:
    made = make_object(Migration.API.api_version, Migration.API.kind, name, status={})
    return made | {"spec": {"resource": {"group": "", "resource": resource}}}


MIGRATION = Scenario(
    controllers=["storage-version-migrator-controller"],
    objects=lambda: [
        _migration("claims", "persistentvolumeclaims"), _migration("toys", "toys"),
        *(make_claim(f"data-{number}") for number in range(3)),
    ],
    outcome=lambda cluster: {
        found.key.name: sorted(
            (entry.type, entry.status) for entry in found.status.conditions if entry.status == "True"
        )
        for found in cluster.list(Migration)
    },
    expected={"claims": [("Succeeded", "True")], "toys": [("Failed", "True")]},
)  # fmt: skip

STORIES = {
    "volume binding": BINDER,
    "volume protection": PROTECTION,
    "class protection": CLASSES,
    "ephemeral volumes": EPHEMERAL,
    "attaching": ATTACH,
    "expansion": EXPANSION,
    "storage version migration": MIGRATION,
}
