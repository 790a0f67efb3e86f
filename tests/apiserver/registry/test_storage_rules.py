"""Claims, volumes, classes, attachments and nodes over HTTP: what they may say and what may change."""

from __future__ import annotations

from typing import Any

from ..conftest import Api
from .rules import (
    FORBIDDEN,
    INVALID,
    REQUIRED,
    TOO_LONG,
    UNSUPPORTED,
    causes,
    merged,
    one,
    refused_creations,
    refused_updates,
)

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
NODES = "/api/v1/nodes"
STORAGE = "/apis/storage.k8s.io/v1"
BETA = "volume.beta.kubernetes.io/storage-class"
NEGATIVE = "must be a valid resource quantity"
CLAIM: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
             "resources": {"requests": {"storage": "5Gi"}}},
}  # fmt: skip
IMMUTABLE = (
    "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for"
    " bound claims"
)


def asking(amount: str) -> dict[str, Any]:
    return {"spec": {"resources": {"requests": {"storage": amount}}}}


async def test_claims_are_refused_for_what_they_ask(api: Api) -> None:
    snapshot = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}
    changes = {
        "modes": {"spec": {"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}},
        "mode": {"spec": {"accessModes": ["Any"]}},
        "none": {"spec": {"resources": None}},
        "zero": asking("0"),
        "volume mode": {"spec": {"volumeMode": "Tape"}},
        "source": {"spec": {"dataSourceRef": {"kind": "Thing"}}},
        "sources": {"spec": {"dataSource": snapshot, "dataSourceRef": snapshot | {"name": "t"}}},
        "old source": {"spec": {"dataSource": {"apiGroup": "a.example", "kind": "Thing", "name": "t"}}},
    }

    found = await refused_creations(api, CLAIMS, CLAIM, changes)

    place = "spec.resources[storage]"
    assert found == {
        "modes": one("spec.accessModes", FORBIDDEN,
            "Forbidden: may not use ReadWriteOncePod with other access modes"),
        "mode": one("spec.accessModes", UNSUPPORTED, 'Unsupported value: "Any": supported values:'
            ' "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'),
        "none": one(place, REQUIRED, "Required value"),
        "zero": one(place, INVALID, 'Invalid value: "0": must be greater than zero'),
        "volume mode": one("spec.volumeMode", UNSUPPORTED,
            'Unsupported value: "Tape": supported values: "Block", "Filesystem"'),
        # The older field follows the newer one, and is looked at first.
        "source": [
            (f"spec.{name}{part}", reason, message)
            for name in ("dataSource", "dataSourceRef")
            for part, reason, message in (
                (".name", REQUIRED, "Required value"),
                ("", INVALID, "Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when referencing"
                 " the default apiGroup"),
            )
        ],
        "sources": one("spec", INVALID, 'Invalid value: "spec.dataSource": must match dataSourceRef'),
        "old source": [],
    }  # fmt: skip


async def test_claims_grow_once_bound_and_shrink_to_what_they_have(api: Api) -> None:
    unbound = await refused_updates(
        api, CLAIMS, CLAIM,
        {
            "grow": asking("6Gi"),
            "volume": {"spec": {"volumeName": "v"}},
            "class": {"spec": {"storageClassName": "slow"}},
            "annotation": {"metadata": {"annotations": {BETA: "fast"}}},
        },
    )  # fmt: skip
    made = (await api("GET", f"{CLAIMS}/one")).body
    status = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    bound = (await api("PUT", f"{CLAIMS}/one/status", merged(made, {"status": status}))).body

    async def refused(change: dict[str, Any]) -> list[Any]:
        return causes(await api("PUT", f"{CLAIMS}/one", merged(bound, change), dryRun="All"))

    small = "Forbidden: field can not be less than status.capacity"
    assert unbound == {
        "grow": one("spec", FORBIDDEN, IMMUTABLE),
        "volume": [],
        "class": one("spec", FORBIDDEN, IMMUTABLE),
        "annotation": one(f"metadata.annotations.{BETA}", INVALID,
            'Invalid value: "fast": field is immutable'),
    }  # fmt: skip
    assert await refused(asking("3Gi")) == []
    assert await refused(asking("2Gi")) == one("spec.resources.requests.storage", FORBIDDEN, small)
    assert await refused({"spec": {"volumeAttributesClassName": "gold"}}) == []
    assert await refused({"spec": {"resources": {"limits": {"storage": "9Gi"}}}}) == one(
        "spec", FORBIDDEN, IMMUTABLE
    )


async def test_a_claim_without_class_may_be_given_one(api: Api) -> None:
    plain = merged(CLAIM, {"spec": {"storageClassName": None}})
    annotated = merged(plain, {"metadata": {"name": "two", "annotations": {BETA: "fast"}}})

    found = await refused_updates(api, CLAIMS, plain, {"any": {"spec": {"storageClassName": "slow"}}})
    named = await refused_updates(
        api, CLAIMS, annotated,
        {"same": {"spec": {"storageClassName": "fast"}}, "other": {"spec": {"storageClassName": "slow"}}},
    )  # fmt: skip

    assert found == {"any": []}
    assert named == {"same": [], "other": one("spec", FORBIDDEN, IMMUTABLE)}


async def test_the_status_of_a_claim_tells_of_its_expansion(api: Api) -> None:
    changes = {
        "capacity": {"status": {"capacity": {"storage": "-1"}}},
        "state": {"status": {"allocatedResourceStatuses": {"storage": "Growing"}}},
        "resource": {"status": {"allocatedResources": {"memory": "1Gi"}}},
        "sound": {"status": {"allocatedResources": {"storage": "1Gi", "a.example/b": "1"},
            "allocatedResourceStatuses": {"storage": "NodeResizePending"}}},
    }  # fmt: skip

    found = await refused_updates(api, CLAIMS, CLAIM, changes, subresource="status")

    state = found.pop("state")
    assert [cause[:2] for cause in state] == [("status.allocatedResourceStatus", UNSUPPORTED)]
    assert found == {
        "capacity": one("status.capacity[storage]", INVALID, f"Invalid value: -1: {NEGATIVE}"),
        "resource": one("status.allocatedResources", UNSUPPORTED,
            'Unsupported value: "memory": supported values: "storage"'),
        "sound": [],
    }  # fmt: skip


def affine(key: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}]
    return {"required": {"nodeSelectorTerms": terms}}


CSI = {"driver": "csi.example.com", "volumeHandle": "h"}
VOLUME: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": CSI,
             "nodeAffinity": affine("failure-domain.beta.kubernetes.io/zone")},
}  # fmt: skip


async def test_volumes_are_refused_for_what_they_are(api: Api) -> None:
    changes = {
        "local": {"spec": {"csi": None, "local": {"path": "/a/../b"}, "nodeAffinity": None}},
        "attributes": {"spec": {"csi": None, "hostPath": {"path": "/a"}, "volumeAttributesClassName": "a"}},
        "no attributes": {"spec": {"volumeAttributesClassName": ""}},
        "mode": {"spec": {"volumeMode": "Tape"}},
        "two": {"spec": {"nfs": {"server": "a", "path": "/"}}},
    }

    found = await refused_creations(api, VOLUMES, VOLUME, changes)

    assert found == {
        "local": [
            ("spec.local.path", INVALID, "Invalid value: \"/a/../b\": must not contain '..'"),
            ("spec.nodeAffinity", REQUIRED, "Required value: Local volume requires node affinity"),
        ],
        "attributes": one("spec.csi", REQUIRED,
            "Required value: has to be specified when using volumeAttributesClassName"),
        "no attributes": one("spec.volumeAttributesClassName", REQUIRED,
            "Required value: an empty string is disallowed"),
        "mode": one("spec.volumeMode", UNSUPPORTED,
            'Unsupported value: "Tape": supported values: "Block", "Filesystem"'),
        "two": one("spec.nfs", FORBIDDEN, "Forbidden: may not specify more than 1 volume type"),
    }  # fmt: skip


async def test_what_may_change_of_a_volume(api: Api) -> None:
    secret = {"controllerExpandSecretRef": {"name": "a", "namespace": "b"}}
    changes = {
        "source": {"spec": {"csi": {"volumeHandle": "other"}}},
        "expansion": {"spec": {"csi": secret}},
        "mode": {"spec": {"volumeMode": "Block"}},
        "labels of today": {"spec": {"nodeAffinity": affine("topology.kubernetes.io/zone")}},
        "other labels": {"spec": {"nodeAffinity": affine("rack")}},
        "policy": {"spec": {"persistentVolumeReclaimPolicy": "Delete"}},
    }

    found = await refused_updates(api, VOLUMES, VOLUME, changes)

    assert {name: [cause[:2] for cause in listed] for name, listed in found.items()} == {
        "source": [("spec.persistentvolumesource", FORBIDDEN)],
        "expansion": [],
        "mode": [("volumeMode", INVALID)],
        "labels of today": [],
        "other labels": [("nodeAffinity", INVALID)],
        "policy": [],
    }


async def test_parameters_are_bounded_and_attachments_name_one_source(api: Api) -> None:
    storage_class = {"metadata": {"name": "one"}, "provisioner": "a.example/p"}
    attachment = {"metadata": {"name": "one"}, "spec": {"attacher": "csi.example.com", "nodeName": "n",
        "source": {"persistentVolumeName": "v"}}}  # fmt: skip
    classes = await refused_creations(
        api, f"{STORAGE}/storageclasses", storage_class,
        {
            "many": {"parameters": {f"p{index}": "" for index in range(513)}},
            "large": {"parameters": {"p": "x" * (256 * 1024)}},
            "empty": {"parameters": {"": "a"}},
        },
    )  # fmt: skip
    attached = await refused_creations(
        api, f"{STORAGE}/volumeattachments", attachment,
        {
            "none": {"spec": {"source": {"persistentVolumeName": None}}},
            "empty": {"spec": {"source": {"persistentVolumeName": ""}}},
        },
    )  # fmt: skip
    told = await refused_updates(
        api, f"{STORAGE}/volumeattachments", attachment,
        {"message": {"status": {"attached": False, "attachError": {"message": "x" * 1025}}}},
        subresource="status",
    )  # fmt: skip

    assert classes == {
        "many": one("parameters", TOO_LONG, "Too long: may not be more than 512 bytes"),
        "large": one("parameters", TOO_LONG, "Too long: may not be more than 262144 bytes"),
        "empty": one("parameters", INVALID, 'Invalid value: "": field can not be empty.'),
    }
    assert attached == {
        "none": one("spec.source", REQUIRED, "Required value: must specify exactly one of inlineVolumeSpec"
            " and persistentVolumeName"),
        "empty": one("spec.source.persistentVolumeName", REQUIRED,
            "Required value: must specify non-empty persistentVolumeName"),
    }  # fmt: skip
    assert told["message"] == one(
        "status.attachError.message", TOO_LONG, "Too long: may not be more than 1024 bytes"
    )


async def test_nodes_have_one_network_of_each_family_and_keep_it(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"podCIDRs": ["10.0.0.0/24"], "podCIDR": "10.0.0.0/24",
        "providerID": "a://b"}}  # fmt: skip
    created = await refused_creations(
        api, NODES, base, {"twice": {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}}}
    )
    changed = await refused_updates(
        api, NODES, base,
        {
            "network": {"spec": {"podCIDRs": ["10.0.1.0/24"], "podCIDR": "10.0.1.0/24"}},
            "provider": {"spec": {"providerID": "c://d"}},
            "external": {"spec": {"externalID": "e"}},
            "taint": {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "unschedulable": True}},
        },
    )  # fmt: skip

    assert created["twice"] == one("spec.podCIDRs", INVALID, 'Invalid value: ["10.0.0.0/24","10.0.1.0/24"]:'
        " may specify no more than one CIDR for each IP family")  # fmt: skip
    assert {name: [cause[:2] for cause in listed] for name, listed in changed.items()} == {
        "network": [("spec.podCIDRs", FORBIDDEN)],
        "provider": [("spec.providerID", FORBIDDEN)],
        "external": [("spec.externalID", FORBIDDEN)],
        "taint": [],
    }
