"""What a container's requests and limits mean: QoS class, cgroup values, OOM score. Pure.

Source: the kubelet's `cm/helpers_linux.go`, `qos/policy.go` and `v1/helper/qos`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeGuard

from kplane.api import quantity

from .pod import Container, Pod, Quantities, ResourceRequirements
from .runtime.interface import Resources

QUOTA_PERIOD = 100_000
MIN_QUOTA = 1_000
MIN_SHARES = 2
MAX_SHARES = 262_144
SHARES_PER_CPU = 1024

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COUNTED = ("cpu", "memory")


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort; only cpu and memory count."""
    own = pod.spec.resources
    parts = [own] if _says(own) else [entry.resources for entry in pod.all_containers()]
    if not any(_set(part.requests) or _set(part.limits) for part in parts):
        return BEST_EFFORT
    return GUARANTEED if all(_guaranteed(part) for part in parts) else BURSTABLE


def _says(own: ResourceRequirements | None) -> TypeGuard[ResourceRequirements]:
    """Whether the pod itself asks for something, over the heads of its containers."""
    return own is not None and bool(own.requests or own.limits)


def _set(quantities: Quantities) -> dict[str, int]:
    found = {name: quantity.milli(quantities[name]) for name in _COUNTED if name in quantities}
    return {name: value for name, value in found.items() if value > 0}


def _guaranteed(part: ResourceRequirements) -> bool:
    limits = _set(part.limits)
    requests = limits | _set(part.requests)
    return set(limits) == set(_COUNTED) and requests == limits


def shares(milli_cpu: int) -> int:
    """cgroup v1 `cpu.shares` of a request; runtimes translate to `cpu.weight`."""
    return min(max(milli_cpu * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def quota(milli_cpu: int) -> int:
    """Microseconds per QUOTA_PERIOD; 0 where there is no limit."""
    return max(milli_cpu * QUOTA_PERIOD // 1000, MIN_QUOTA) if milli_cpu else 0


def for_container(pod: Pod, container: Container, node_memory: int) -> Resources:
    """The cgroup values of one container; `node_memory` in bytes is the node's capacity."""
    requests, limits = container.resources.requests, container.resources.limits
    # Without a limit of its own a container may use the pod's.
    limits = (pod.spec.resources.limits if pod.spec.resources else {}) | limits
    cpu_limit = _milli(limits, "cpu")
    cpu_request = _milli(requests, "cpu") if "cpu" in requests else cpu_limit
    return Resources(
        cpu_shares=shares(cpu_request),
        cpu_quota=quota(cpu_limit),
        cpu_period=QUOTA_PERIOD,
        memory_bytes=_bytes(limits, "memory"),
        oom_score_adj=oom_score_adj(pod, container, node_memory),
    )


def oom_score_adj(pod: Pod, container: Container, node_memory: int) -> int:
    """Whom the kernel kills first when memory runs out: the larger, the earlier."""
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return -997
    if kind == BEST_EFFORT:
        return 1000
    asked = _bytes(container.resources.requests, "memory") + _share_of_rest(pod)
    score = 1000 - 1000 * asked // max(node_memory, 1)
    return min(max(score, 3), 999)


def _share_of_rest(pod: Pod) -> int:
    """Memory that the pod asks for and no container does, divided among the containers."""
    if pod.spec.resources is None or "memory" not in pod.spec.resources.requests:
        return 0
    running = _running(pod)
    rest = _bytes(pod.spec.resources.requests, "memory")
    rest -= sum(_bytes(entry.resources.requests, "memory") for entry in running)
    return max(rest, 0) // max(len(running), 1)


def _running(pod: Pod) -> list[Container]:
    """The containers that run beside each other."""
    return [*pod.spec.containers, *(entry for entry in pod.spec.init_containers if entry.sidecar)]


def for_pod(pod: Pod) -> Resources:
    """The cgroup values of the pod's own cgroup: sums, and limits only where every container has one."""
    running = _running(pod)
    request = sum(_milli(entry.resources.requests or entry.resources.limits, "cpu") for entry in running)
    own = pod.spec.resources or ResourceRequirements()
    request = _milli(own.limits | own.requests, "cpu") or request
    return Resources(
        cpu_shares=shares(request + _milli(pod.spec.overhead, "cpu")),
        cpu_quota=quota(_limit_sum(pod, running, "cpu")),
        cpu_period=QUOTA_PERIOD,
        memory_bytes=_limit_sum(pod, running, "memory"),
    )


def larger(first: Resources, second: Resources) -> Resources:
    """The wider of two sets of cgroup values; 0 is no limit at all."""
    return Resources(
        cpu_shares=max(first.cpu_shares, second.cpu_shares),
        cpu_quota=_wider(first.cpu_quota, second.cpu_quota),
        cpu_period=QUOTA_PERIOD,
        memory_bytes=_wider(first.memory_bytes, second.memory_bytes),
    )


def _wider(first: int, second: int) -> int:
    return max(first, second) if first and second else 0


def _limit_sum(pod: Pod, running: Iterable[Container], name: str) -> int:
    measure = _milli if name == "cpu" else _bytes
    if pod.spec.resources is not None and name in pod.spec.resources.limits:
        return measure(pod.spec.resources.limits, name) + measure(pod.spec.overhead, name)
    limits = [measure(entry.resources.limits, name) for entry in running]
    if not all(limits):
        return 0
    total = sum(limits) + measure(pod.spec.overhead, name)
    one_shot = [entry for entry in pod.spec.init_containers if not entry.sidecar]
    return max([total, *(measure(entry.resources.limits, name) for entry in one_shot)])


def _milli(quantities: Mapping[str, str | int | float], name: str) -> int:
    return quantity.milli(quantities[name]) if name in quantities else 0


def _bytes(quantities: Mapping[str, str | int | float], name: str) -> int:
    return quantity.units(quantities[name]) if name in quantities else 0
