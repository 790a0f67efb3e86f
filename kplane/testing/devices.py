"""Builders of dynamic resources for tests: claims of devices, and templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplane.api.resource import Object
from kplane.testing.objects import make_object

VERSION = "resource.k8s.io/v1"
ALLOCATED: Object = {
    "devices": {
        "results": [{"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}]
    }
}


def make_device_spec(*, admin: bool = False) -> Object:
    """What a claim of one device asks for."""
    exactly: Object = {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1}
    if admin:
        exactly["adminAccess"] = True
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


def make_resource_claim(
    name: str = "gpu",
    namespace: str = "default",
    *,
    reserved_for: Sequence[Object] = (),
    allocated: bool = False,
    **parts: Any,
) -> Object:
    """`reserved_for`: Pods that it is reserved for. Further keywords as those of `make_object`."""
    consumers = [
        {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        for pod in reserved_for
    ]
    status: Object = {"reservedFor": consumers} if consumers else {}
    if allocated:
        status["allocation"] = ALLOCATED
    return make_object(
        VERSION, "ResourceClaim", name, namespace, spec=make_device_spec(), status=status, **parts
    )


def make_claim_template(
    name: str = "gpus",
    namespace: str = "default",
    *,
    labels: Mapping[str, str] | None = None,
    admin: bool = False,
) -> Object:
    """`labels` are those of the claims."""
    spec: Object = {"spec": make_device_spec(admin=admin)}
    if labels:
        spec["metadata"] = {"labels": dict(labels), "annotations": {"from": "template"}}
    return make_object(VERSION, "ResourceClaimTemplate", name, namespace, spec=spec)
