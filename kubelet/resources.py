"""What a container's requests and limits mean: QoS class, cgroup values, OOM score. Pure.

Source: the kubelet's `cm/helpers_linux.go`, `qos/policy.go` and `v1/helper/qos`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kplane.api import quantity

from .pod import Container, Pod, Quantities
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
    containers = list(pod.all_containers())
    if not any(_set(entry.resources.requests) or _set(entry.resources.limits) for entry in containers):
        return BEST_EFFORT
    return GUARANTEED if all(_guaranteed(entry) for entry in containers) else BURSTABLE


def _set(quantities: Quantities) -> dict[str, int]:
    found = {name: quantity.milli(quantities[name]) for name in _COUNTED if name in quantities}
    return {name: value for name, value in found.items() if value > 0}


def _guaranteed(container: Container) -> bool:
    limits = _set(container.resources.limits)
    requests = limits | _set(container.resources.requests)
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
    score = 1000 - 1000 * _bytes(container.resources.requests, "memory") // max(node_memory, 1)
    return min(max(score, 3), 999)


def for_pod(pod: Pod) -> Resources:
    """The cgroup values of the pod's own cgroup: sums, and limits only where every container has one."""
    containers = pod.spec.containers
    running = [*containers, *(entry for entry in pod.spec.init_containers if entry.sidecar)]
    request = sum(_milli(entry.resources.requests or entry.resources.limits, "cpu") for entry in running)
    return Resources(
        cpu_shares=shares(request + _milli(pod.spec.overhead, "cpu")),
        cpu_quota=quota(_limit_sum(pod, running, "cpu")),
        cpu_period=QUOTA_PERIOD,
        memory_bytes=_limit_sum(pod, running, "memory"),
    )


def _limit_sum(pod: Pod, running: Iterable[Container], name: str) -> int:
    measure = _milli if name == "cpu" else _bytes
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
