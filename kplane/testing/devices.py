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
    device: str = "gpu-0",
    tolerations: Sequence[Object] = (),
    **parts: Any,
) -> Object:
    """`reserved_for`: Pods that it is reserved for; `device` and `tolerations` are those of the allocation.
    Further keywords as those of `make_object`."""
    consumers = [
        {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        for pod in reserved_for
    ]
    status: Object = {"reservedFor": consumers} if consumers else {}
    if allocated:
        [result] = ALLOCATED["devices"]["results"]
        result = result | {"device": device} | ({"tolerations": list(tolerations)} if tolerations else {})
        status["allocation"] = {"devices": {"results": [result]}}
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


def make_resource_slice(
    name: str = "node-1-gpus",
    *,
    taints: Mapping[str, Sequence[Object]] | None = None,
    devices: Sequence[str] = ("gpu-0",),
    generation: int = 1,
) -> Object:
    """The devices of the pool `node-1`; `taints` by device."""
    found = [{"name": each, "taints": list((taints or {}).get(each, ()))} for each in devices]
    pool = {"name": "node-1", "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": "gpu.example.com", "nodeName": "node-1", "pool": pool, "devices": found}
    return make_object(VERSION, "ResourceSlice", name, spec=spec)


def make_taint_rule(
    name: str = "broken",
    *,
    effect: str = "NoExecute",
    since: str = "2026-01-01T00:00:00Z",
    selector: Object | None = None,
) -> Object:
    """The selector of all devices of `gpu.example.com` where none is given."""
    taint = {"key": "example.com/broken", "value": "yes", "effect": effect, "timeAdded": since}
    chosen = {"driver": "gpu.example.com"} if selector is None else selector
    return make_object(VERSION, "DeviceTaintRule", name, spec={"taint": taint, "deviceSelector": chosen})
