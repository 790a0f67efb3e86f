"""Volumes that are emptied for the next claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.storage import PersistentVolume, PersistentVolumeClaim
from kplane.controllers.config import Config, parse
from kplane.controllers.registry import worker_flags
from kplane.controllers.storage.binder import VolumeBinder
from kplane.runtime.process import Fatal
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod
from kplane.testing.storage import make_claim, make_volume

CLAIM = Key("default", "data")
POD = Key("default", "recycler-for-disk")
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
BY_CONTROLLER = {"pv.kubernetes.io/bound-by-controller": "yes"}
NFS: Object = {"nfs": {"server": "192.0.2.1", "path": "/share"}}


async def released(cluster: FakeCluster, *others: Object, config: Config | None = None, **spec: Any) -> None:
    """A volume that was bound, and whose claim has just gone."""
    wanted = make_claim(annotations=BOUND, volumeName="disk", status={"phase": "Bound"})
    disk = make_volume(
        claim=wanted, phase="Bound", annotations=BY_CONTROLLER, policy="Recycle", **(spec or NFS)
    )
    cluster.load(wanted, disk, *others)
    context = cluster.context(options=config or Config())
    cluster.start(context.queue.run(VolumeBinder(context).reconcile))
    await cluster.settle()
    cluster.delete(PersistentVolumeClaim, CLAIM)
    await cluster.advance(1)


def recycler(cluster: FakeCluster) -> Any:
    return cluster.get(Pod.API.as_type(dict), POD)


async def end(cluster: FakeCluster, phase: str, **status: Any) -> None:
    cluster.load(recycler(cluster) | {"status": {"phase": phase, **status}})
    await cluster.settle()


def disk(cluster: FakeCluster) -> PersistentVolume:
    found = cluster.get(PersistentVolume, Key("", "disk"))
    assert found is not None
    return found


def told(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [(event.type, event.reason, event.message) for event in cluster.events()]


async def test_a_volume_is_emptied_and_can_be_had_again(cluster: FakeCluster) -> None:
    await released(cluster)
    waiting = disk(cluster).status.phase
    await end(cluster, "Succeeded")
    await cluster.advance(1)

    found = disk(cluster)
    assert (waiting, found.status.phase, found.spec.claim_ref) == ("Released", "Available", None)
    assert recycler(cluster) is None
    assert told(cluster) == [("Normal", "VolumeRecycled", "Volume recycled")]


@pytest.mark.parametrize(
    ("spec", "source", "seconds"),
    [
        pytest.param(NFS, NFS, 300, id="nfs"),
        pytest.param(NFS | {"size": "20Gi"}, NFS, 600, id="large"),
        pytest.param({"hostPath": {"path": "/d"}}, {"hostPath": {"path": "/d"}}, 60, id="host-path"),
    ],
)
async def test_the_pod_that_empties_has_time_for_the_size(
    cluster: FakeCluster, spec: Object, source: Object, seconds: int
) -> None:
    await released(cluster, **spec)
    made = recycler(cluster)["spec"]
    assert made["activeDeadlineSeconds"] == seconds
    assert made["volumes"] == [{"name": "vol"} | source]
    assert made["restartPolicy"] == "Never"


async def test_a_pod_that_fails_is_told_of_and_tried_again(cluster: FakeCluster) -> None:
    await released(cluster)
    first = recycler(cluster)["metadata"]["uid"]
    await end(cluster, "Failed", message="no space")
    status = disk(cluster).status
    await cluster.advance(2)

    assert (status.phase, status.message) == ("Failed", "Recycle failed: no space")
    assert told(cluster) == [("Warning", "VolumeFailedRecycle", "Recycle failed: no space")]
    assert recycler(cluster)["metadata"]["uid"] != first
    await end(cluster, "Succeeded")
    await cluster.advance(1)
    assert disk(cluster).status.phase == "Available"


async def test_a_pod_that_somebody_else_has_made_proves_nothing(cluster: FakeCluster) -> None:
    await released(cluster, make_pod(POD.name, phase="Succeeded", labels={"by": "somebody"}))
    status = disk(cluster).status
    await cluster.advance(2)

    assert status.message == "Recycle failed: old recycler pod found, will retry later"
    assert "labels" not in recycler(cluster)["metadata"]
    assert disk(cluster).status.phase == "Failed"


async def test_a_pod_that_is_deleted_has_emptied_nothing(cluster: FakeCluster) -> None:
    await released(cluster)
    cluster.delete(Pod, POD)
    await cluster.settle()
    assert disk(cluster).status.message == "Recycle failed: recycler pod was deleted"
    await cluster.advance(2)
    assert recycler(cluster) is not None


async def test_a_volume_that_pods_still_use_is_left_alone(cluster: FakeCluster) -> None:
    mounted = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    await released(cluster, make_pod(volumes=mounted))
    before = recycler(cluster)
    cluster.delete(Pod, Key("default", "web"))
    await cluster.advance(20)

    assert before is None
    assert told(cluster) == [("Normal", "VolumeFailedRecycle", "Volume is used by pods: default/web")]
    assert recycler(cluster) is not None


async def test_whatever_fails_the_volume_is_emptied_in_the_end(cluster: FakeCluster) -> None:
    cluster.faults.fail_next(InternalError("broken"), times=3, plural="pods")
    await released(cluster)
    await cluster.advance(30)
    await end(cluster, "Succeeded")
    await cluster.advance(5)
    assert disk(cluster).status.phase == "Available"


def flags(*argv: str) -> Config:
    return parse(argv, worker_flags())


async def test_the_pod_may_come_from_a_file(cluster: FakeCluster, tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(
        "metadata: {generateName: x-}\nspec: {volumes: [{name: v}], containers: [{name: c, image: own:1}]}\n"
    )
    config = flags(
        "--pv-recycler-pod-template-filepath-nfs", str(file), "--pv-recycler-minimum-timeout-nfs=7",
        "--pv-recycler-increment-timeout-nfs=1",
    )  # fmt: skip
    await released(cluster, config=config)
    made = recycler(cluster)["spec"]
    assert made["containers"][0]["image"] == "own:1"
    assert (made["volumes"][0], made["activeDeadlineSeconds"]) == ({"name": "v"} | NFS, 7)


@pytest.mark.parametrize("text", ["", "spec: {containers: []}", "]["])
def test_a_file_without_such_a_pod_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    with pytest.raises(Fatal, match="recycler"):
        flags("--pv-recycler-pod-template-filepath-hostpath", str(file))
