"""The Node object as this kubelet wants it: metadata at registration, and status. Pure.

Source: the kubelet's `kubelet_node_status.go` and `nodestatus/setters.go`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object

from .config import VERSION, KubeletConfig
from .machine import Machine
from .runtime.interface import Image, RuntimeCondition, RuntimeVersion

MAX_IMAGES = 50
MAX_NAMES_PER_IMAGE = 5
DECLARED_FEATURES = ("GuaranteedQoSPodCPUResize", "InPlacePodLevelResourcesVerticalScaling")
"""What this kubelet knows of the features that not every kubelet does, sorted: the API server lets Pods be
changed in these ways where their node declares so."""
RESERVED_MEMORY = 100 << 20
"""Upstream's default hard eviction threshold is kept free; so is 10 % of the disk."""


@dataclass(frozen=True)
class Observed:
    """What the status is made from. `error` is why the runtime cannot be used; empty if it can."""

    machine: Machine
    runtime: RuntimeVersion
    images: Sequence[Image]
    error: str
    port: int


def runtime_error(conditions: Sequence[RuntimeCondition]) -> str:
    """Why the node is not ready, from the runtime's own conditions."""
    for condition in conditions:
        if condition.status:
            continue
        why = f"{condition.type}=false reason:{condition.reason} message:{condition.message}"
        if condition.type == "NetworkReady":
            return f"container runtime network not ready: {why}"
        return f"container runtime not ready: {why}"
    return ""


def labels(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    own = {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
    }
    return own | dict(config.node_labels)


def node_object(config: KubeletConfig, observed: Observed, now: datetime) -> Object:
    """The body with which the node registers."""
    spec: Object = {}
    if config.pod_cidr:
        spec |= {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]}
    if config.register_with_taints:
        spec["taints"] = list(config.register_with_taints)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": config.node_name,
            "labels": labels(config, observed.machine),
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": node_status(config, observed, {}, now),
    }


def node_status(config: KubeletConfig, observed: Observed, old: Object, now: datetime) -> Object:
    """The whole status; heartbeats are `now`, transition times only where a condition changed."""
    return {
        "addresses": _addresses(config),
        "capacity": capacity(config, observed.machine),
        "allocatable": allocatable(config, observed.machine),
        "conditions": _conditions(observed, old.get("conditions") or (), now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": observed.port}},
        "images": _images(observed.images),
        "nodeInfo": _info(observed),
        "declaredFeatures": list(DECLARED_FEATURES),
        "runtimeHandlers": [{"name": "", "features": {"recursiveReadOnlyMounts": False}}],
    }


def capacity(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "ephemeral-storage": f"{machine.disk // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{machine.memory // 1024}Ki",
        "pods": str(config.max_pods),
    }


def allocatable(config: KubeletConfig, machine: Machine) -> dict[str, str]:
    return capacity(config, machine) | {
        "ephemeral-storage": str(machine.disk * 9 // 10),
        "memory": f"{max(machine.memory - RESERVED_MEMORY, 0) // 1024}Ki",
    }


def _addresses(config: KubeletConfig) -> list[Object]:
    found = [{"type": "InternalIP", "address": ip} for ip in config.node_ips]
    return [*found, {"type": "Hostname", "address": config.node_name}]


def _info(observed: Observed) -> Object:
    machine = observed.machine
    return {
        "architecture": machine.architecture,
        "bootID": machine.boot_id,
        "containerRuntimeVersion": f"{observed.runtime.name}://{observed.runtime.version}",
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": VERSION,
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "systemUUID": machine.system_uuid,
    }


def _images(images: Sequence[Image]) -> list[Object]:
    """The largest ones, as the scheduler's image locality wants them."""
    largest = sorted(images, key=lambda image: (-image.size, image.id))[:MAX_IMAGES]
    return [
        {"names": [*image.digests, *image.tags][:MAX_NAMES_PER_IMAGE], "sizeBytes": image.size}
        for image in largest
    ]


_HEALTHY = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def _conditions(observed: Observed, old: Sequence[Object], now: datetime) -> list[Object]:
    before = {entry["type"]: entry for entry in old}
    found = [_condition(kind, "False", reason, message) for kind, reason, message in _HEALTHY]
    if observed.error:
        found.append(_condition("Ready", "False", "KubeletNotReady", observed.error))
    else:
        found.append(_condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    for entry in found:
        same = before.get(entry["type"], {})
        moved = same.get("lastTransitionTime") if same.get("status") == entry["status"] else None
        entry |= {"lastHeartbeatTime": rfc3339(now), "lastTransitionTime": moved or rfc3339(now)}
    return found


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def changed(old: Object, new: Object) -> Object:
    """The strategic merge patch between two statuses, heartbeats left out; empty if nothing changed."""
    patch = {key: value for key, value in new.items() if key != "conditions" and old.get(key) != value}
    if "addresses" in patch:
        patch["addresses"] = [{"$patch": "replace"}, *patch["addresses"]]
    known = {entry["type"]: _timeless(entry) for entry in old.get("conditions") or ()}
    if any(known.get(entry["type"]) != _timeless(entry) for entry in new["conditions"]):
        patch["conditions"] = new["conditions"]
    return patch


def _timeless(condition: Object) -> Object:
    return {key: condition.get(key) for key in ("status", "reason", "message")}
