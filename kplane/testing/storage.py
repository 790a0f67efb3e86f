"""Builders of storage objects for tests: claims, volumes, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplane.api.resource import Object
from kplane.testing.objects import make_object, owner_reference

ONCE = ("ReadWriteOnce",)


def make_claim(
    name: str = "data",
    namespace: str = "default",
    *,
    size: str = "1Gi",
    modes: Sequence[str] = ONCE,
    storage_class: str | None = "",
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    owner: Object | None = None,
    status: Object | None = None,
    **spec: Any,
) -> Object:
    """A claim as the API server keeps it; further keywords are fields of its spec."""
    whole: Object = {
        "accessModes": list(modes), "resources": {"requests": {"storage": size}}, "volumeMode": "Filesystem",
    }  # fmt: skip
    if storage_class is not None:
        whole["storageClassName"] = storage_class
    return make_object(
        "v1", "PersistentVolumeClaim", name, namespace, annotations=dict(annotations or {}), owner=owner,
        finalizers=list(finalizers), spec=whole | spec, status=status or {"phase": "Pending"},
    )  # fmt: skip


def make_volume(
    name: str = "disk",
    *,
    size: str = "1Gi",
    modes: Sequence[str] = ONCE,
    storage_class: str = "",
    phase: str = "Pending",
    policy: str = "Retain",
    claim: Object | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    finalizers: Sequence[str] = (),
    **spec: Any,
) -> Object:
    """A CSI volume; `claim` is the one that it is bound to. Further keywords are fields of its spec."""
    whole: Object = {
        "capacity": {"storage": size}, "accessModes": list(modes), "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": policy, "storageClassName": storage_class,
    }  # fmt: skip
    if not {"hostPath", "nfs"} & set(spec):
        whole["csi"] = {"driver": "csi.example.com", "volumeHandle": name}
    if claim is not None:
        reference = owner_reference(claim)
        whole["claimRef"] = {field: reference[field] for field in ("apiVersion", "kind", "name", "uid")}
        whole["claimRef"]["namespace"] = claim["metadata"]["namespace"]
    return make_object(
        "v1", "PersistentVolume", name, labels=dict(labels or {}), annotations=dict(annotations or {}),
        finalizers=list(finalizers), spec=whole | spec, status={"phase": phase},
    )  # fmt: skip


def make_storage_class(
    name: str = "fast",
    *,
    provisioner: str = "csi.example.com",
    mode: str = "Immediate",
    default: bool = False,
) -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return make_object(
        "storage.k8s.io/v1", "StorageClass", name, annotations=annotations, provisioner=provisioner,
        volumeBindingMode=mode, reclaimPolicy="Delete",
    )  # fmt: skip
