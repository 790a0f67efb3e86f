"""Whether this node can take a pod at all: the last check, should the scheduler have been wrong. Pure.

Source: the kubelet's `lifecycle/predicate.go`. A refused pod fails with the reason and message given here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kplane.api import quantity

from .pod import Container, ContainerPort, Pod
from .status import Waiting

NO_FREE_PORTS = "node(s) didn't have free ports for the requested pod ports"
ANY_ADDRESS = ("", "0.0.0.0")  # noqa: S104 - compared with, not listened on


def refusal(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, str]) -> Waiting | None:
    """None where the pod fits beside the others, which must be active pods of this node."""
    neighbours = list(others)
    checks = [("pods", 1, len(neighbours), quantity.units(allocatable["pods"]))]
    for name in ("cpu", "memory", "ephemeral-storage"):
        used = sum(request(other, name) for other in neighbours)
        checks.append((name, request(pod, name), used, _measure(name, allocatable[name])))
    for name, wanted, used, capacity in checks:
        if wanted and used + wanted > capacity:
            why = f"requested: {wanted}, used: {used}, capacity: {capacity}"
            return Waiting(
                f"OutOf{name}", f"Pod was rejected: Node didn't have enough resource: {name}, {why}"
            )
    taken = [port for other in neighbours for port in host_ports(other)]
    if any(clash(mine, theirs) for mine in host_ports(pod) for theirs in taken):
        return Waiting("NodePorts", f"Pod was rejected: Predicate NodePorts failed: {NO_FREE_PORTS}")
    return None


def host_ports(pod: Pod) -> Iterator[ContainerPort]:
    """The ports that the pod takes on the node itself."""
    sidecars = (container for container in pod.spec.init_containers if container.sidecar)
    for container in (*sidecars, *pod.spec.containers):
        yield from (port for port in container.ports if port.host_port)


def clash(a: ContainerPort, b: ContainerPort) -> bool:
    same_address = a.host_ip == b.host_ip or a.host_ip in ANY_ADDRESS or b.host_ip in ANY_ADDRESS
    return same_address and (a.host_port, a.protocol) == (b.host_port, b.protocol)


def resize_refusal(pod: Pod, others: Iterable[Pod], allocatable: Mapping[str, str]) -> Waiting | None:
    """None where the pod, which runs here already, may have what it asks for now. Infeasible: it never may;
    Deferred: not beside these others."""
    for name in ("cpu", "memory"):
        wanted, capacity = request(pod, name), _measure(name, allocatable[name])
        if wanted > capacity:
            why = f"requested: {wanted}, capacity: {capacity}"
            return Waiting("Infeasible", f"Node didn't have enough capacity: {name}, {why}")
    found = refusal(pod, others, allocatable)
    return None if found is None else Waiting("Deferred", found.message.removeprefix("Pod was rejected: "))


def request(pod: Pod, name: str) -> int:
    """What the pod asks for, as the scheduler counts it: what it says itself, else the sum, or the peak of
    its initialization."""
    overhead = _measure(name, pod.spec.overhead[name]) if name in pod.spec.overhead else 0
    if pod.spec.resources is not None and name in pod.spec.resources.requests:
        return _measure(name, pod.spec.resources.requests[name]) + overhead
    sidecars = 0
    peak = 0
    for container in pod.spec.init_containers:
        wanted = _wanted(container, name)
        if container.sidecar:
            sidecars += wanted
        else:
            peak = max(peak, sidecars + wanted)
    total = sidecars + sum(_wanted(container, name) for container in pod.spec.containers)
    return max(total, peak) + overhead


def _wanted(container: Container, name: str) -> int:
    found = container.resources.requests.get(name)
    return 0 if found is None else _measure(name, found)


def _measure(name: str, value: str | int | float) -> int:
    """Milli-CPUs, or bytes."""
    return quantity.milli(value) if name == "cpu" else quantity.units(value)
