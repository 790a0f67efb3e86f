"""What a Pod asks of a node: its effective resource requests.

Rules: component-helpers `resource.PodRequests`. Containers run together; init containers run one after the
other before them, beside the sidecars (init containers with restartPolicy Always) started so far. Overhead
comes on top; requests at Pod level replace the sum.

CPU is counted in thousandths, everything else in whole units (bytes, pieces).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kplane.api import quantity
from kplane.api.quantity import Wire
from kplane.api.types import Pod
from kplane.api.types.core import Container

CPU = "cpu"
MEMORY = "memory"

DEFAULT_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
"""What scores assume of a container that asks for nothing, so that such Pods spread out too."""

Requests = dict[str, int]


def amount(resource: str, value: Wire) -> int:
    return quantity.milli(value) if resource == CPU else quantity.units(value)


def amounts(listed: Mapping[str, Wire]) -> Requests:
    return {resource: amount(resource, value) for resource, value in listed.items()}


def pod_requests(pod: Pod, defaults: Mapping[str, int] | None = None) -> Requests:
    """The requests that a node must have free. `defaults` stand in where a container names no request."""
    total = _together(pod.spec.containers, defaults)
    started: Requests = {}
    peak: Requests = {}
    for container in pod.spec.init_containers:
        own = _of(container, defaults)
        if container.restart_policy == "Always":
            _add(total, own)
            _add(started, own)
            _raise(peak, started)
        else:
            _add(own, started)
            _raise(peak, own)
    _raise(total, peak)
    if pod.spec.resources is not None:
        total |= amounts(pod.spec.resources.requests)
    _add(total, amounts(pod.spec.overhead))
    return {resource: value for resource, value in total.items() if value > 0}


def scoring_requests(pod: Pod) -> tuple[int, int]:
    """CPU and memory as scores count them: with defaults for containers that ask for nothing."""
    found = pod_requests(pod, {CPU: DEFAULT_CPU, MEMORY: DEFAULT_MEMORY})
    return found.get(CPU, 0), found.get(MEMORY, 0)


def _of(container: Container, defaults: Mapping[str, int] | None) -> Requests:
    return {**(defaults or {}), **amounts(container.resources.requests)}


def _together(containers: Iterable[Container], defaults: Mapping[str, int] | None) -> Requests:
    total: Requests = {}
    for container in containers:
        _add(total, _of(container, defaults))
    return total


def _add(total: Requests, more: Mapping[str, int]) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def _raise(total: Requests, least: Mapping[str, int]) -> None:
    """Raise each amount to at least that of `least`."""
    for resource, value in least.items():
        total[resource] = max(total.get(resource, 0), value)
