"""Volumes, claims, classes and drivers through the API: made, changed, deleted."""

from __future__ import annotations

from typing import Any

from ..api import MERGE, Api

STORAGE = "/apis/storage.k8s.io/v1"
MODES = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]


def volume(storage_class: str) -> dict[str, Any]:
    return {
        "metadata": {"generateName": f"{storage_class}-", "labels": {"e2e-pv-pool": storage_class}},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": MODES,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "csi": {"driver": "e2e-driver", "volumeHandle": "e2e-conformance"},
        },
    }


def claim(storage_class: str) -> dict[str, Any]:
    return {
        "metadata": {"generateName": "pvc-"},
        "spec": {
            "accessModes": MODES,
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": storage_class,
        },
    }


async def test_volume_and_claim_live_and_go_one_by_one_and_as_collections(
    api: Api, core: str, namespace: str
) -> None:
    volumes, claims = "/api/v1/persistentvolumes", f"{core}/persistentvolumeclaims"
    selector = f"e2e-pv-pool={namespace}"
    for as_collection in (False, True):
        made, claimed = await api.make(volumes, volume(namespace)), await api.make(claims, claim(namespace))
        disk, owner = made["metadata"]["name"], claimed["metadata"]["name"]
        patched = await api.patch(f"{volumes}/{disk}", {"metadata": {"labels": {disk: "patched"}}})
        assert patched["metadata"]["labels"][disk] == "patched"
        bound = await api.until(f"{claims}/{owner}", lambda found: found["status"]["phase"] == "Bound")
        assert bound["spec"]["volumeName"] == disk

        if as_collection:
            await api("DELETE", claims)
        else:
            await api.delete(f"{claims}/{owner}")
        await api.until_listed(claims, lambda found: not found)
        if as_collection:
            await api("DELETE", volumes, labelSelector=selector)
        else:
            await api.delete(f"{volumes}/{disk}")
        await api.until_listed(volumes, lambda found: not found, labelSelector=selector)


async def test_statuses_of_volume_and_claim_take_what_they_are_given(
    api: Api, core: str, namespace: str
) -> None:
    made, claimed = (
        await api.make("/api/v1/persistentvolumes", volume(namespace)),
        await api.make(f"{core}/persistentvolumeclaims", claim(namespace)),
    )
    disk = f"/api/v1/persistentvolumes/{made['metadata']['name']}/status"
    owner = f"{core}/persistentvolumeclaims/{claimed['metadata']['name']}/status"
    condition = {"type": "StatusPatched", "status": "True", "reason": "E2E patchedStatus", "message": "Set"}

    patched = await api.patch(owner, {"status": {"conditions": [condition]}}, MERGE)
    assert patched["status"]["conditions"][0]["reason"] == "E2E patchedStatus"

    def update(found: Any) -> None:
        found["status"]["conditions"].append({**condition, "type": "StatusUpdated"})

    assert len((await api.change(owner, update))["status"]["conditions"]) == 2
    patched = await api.patch(disk, {"status": {"message": "StatusPatched", "reason": "E2E patch"}}, MERGE)
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("StatusPatched", "E2E patch")
    assert (await api.get(disk))["kind"] == "PersistentVolume"


async def test_driver_of_inline_volumes_and_a_pod_that_names_it(api: Api, core: str) -> None:
    spec = {"volumeLifecycleModes": ["Ephemeral"], "fsGroupPolicy": "ReadWriteOnceWithFSType"}
    await api.make(f"{STORAGE}/csidrivers", {"metadata": {"name": "inline-driver"}, "spec": spec})
    patched = await api.patch(
        f"{STORAGE}/csidrivers/inline-driver", {"metadata": {"labels": {"patched": "true"}}}
    )
    assert patched["spec"]["attachRequired"] is True

    source = {"driver": "inline-driver"}
    pod = {
        "metadata": {"name": "p"},
        # The volume is never mounted: there is no such driver, and no scheduler for the pod.
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "c", "image": "web:1"}],
            "volumes": [{"name": "v", "csi": source}],
        },
    }
    made = await api.make(f"{core}/pods", pod)
    assert made["spec"]["volumes"][0]["csi"] == source
    await api("DELETE", f"{STORAGE}/csidrivers", labelSelector="patched=true")
    assert await api.gone(f"{STORAGE}/csidrivers/inline-driver")


async def test_attachment_takes_its_status(api: Api) -> None:
    spec = {"attacher": "e2e.example.com", "nodeName": "n", "source": {"persistentVolumeName": "p"}}
    await api.make(f"{STORAGE}/volumeattachments", {"metadata": {"name": "va"}, "spec": spec})
    path = f"{STORAGE}/volumeattachments/va"
    patched = await api.patch(
        f"{path}/status", {"status": {"attached": True, "attachmentMetadata": {"a": "b"}}}, MERGE
    )
    assert patched["status"] == {"attached": True, "attachmentMetadata": {"a": "b"}}

    def detach(found: Any) -> None:
        found["status"] = {"attached": False, "detachError": {"message": "gone", "time": None}}

    changed = await api.change(f"{path}/status", detach)
    assert (changed["status"]["attached"], changed["status"]["detachError"]["message"]) == (False, "gone")
    await api.delete(path)


async def test_classes_and_capacities_have_their_defaults(api: Api, namespace: str) -> None:
    made = await api.make(
        f"{STORAGE}/storageclasses", {"metadata": {"name": "e2e-class"}, "provisioner": "e2e.example.com"}
    )
    assert (made["volumeBindingMode"], made["reclaimPolicy"]) == ("Immediate", "Delete")
    await api.delete(f"{STORAGE}/storageclasses/e2e-class")

    capacities = f"{STORAGE}/namespaces/{namespace}/csistoragecapacities"
    body = {"metadata": {"name": "c"}, "storageClassName": "fast", "capacity": "256Gi"}
    await api.make(capacities, body | {"nodeTopology": {"matchLabels": {"a": "b"}}})
    grown = await api.patch(f"{capacities}/c", {"maximumVolumeSize": "2Gi"}, MERGE)
    assert (grown["capacity"], grown["maximumVolumeSize"]) == ("256Gi", "2Gi")
