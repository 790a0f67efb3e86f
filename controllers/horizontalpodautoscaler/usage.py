"""How many replicas a metric asks for. No I/O.

Rules and texts: upstream's `replica_calculator.go`. Values are thousandths, as integers.

Invariant: Pods that are not ready, or of which nothing is known, never make a change larger: they count as
idle when it goes up, as busy when it goes down, and a change that they would turn round does not happen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kplane.api.quantity import Wire, milli
from kplane.api.types import Pod
from kplane.api.types.core import Container
from kplane.api.types.meta import condition

MINUTE = timedelta(minutes=1)


class NoReplicas(Exception):
    """A metric from which no number follows; worded for conditions and events."""


@dataclass(frozen=True)
class Sample:
    value: int
    time: datetime | None = None
    window: timedelta = MINUTE


@dataclass(frozen=True)
class Tolerances:
    """How far a ratio may be from 1 without a change."""

    up: float = 0.1
    down: float = 0.1

    def cover(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True)
class Delays:
    """How long the CPU usage of a Pod that starts says nothing."""

    cpu_initialization: timedelta = timedelta(minutes=5)
    initial_readiness: timedelta = timedelta(seconds=30)


@dataclass
class Groups:
    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def group(
    pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, delays: Delays, now: datetime
) -> Groups:
    """Which Pods count for what. `resource` is empty for metrics that are none."""
    groups = Groups()
    for pod in pods:
        name = pod.metadata.name
        if pod.metadata.deletion_timestamp is not None or pod.status.phase == "Failed":
            groups.ignored.add(name)
        elif pod.status.phase == "Pending":
            groups.unready.add(name)
        elif name not in samples:
            groups.missing.add(name)
        elif resource == "cpu" and _starting(pod, samples[name], delays, now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _starting(pod: Pod, sample: Sample, delays: Delays, now: datetime) -> bool:
    """Whether the Pod's CPU usage is that of its start."""
    found, started = condition(pod.status.conditions, "Ready"), pod.status.start_time
    if found is None or started is None:
        return True
    since = found.last_transition_time or started
    if started + delays.cpu_initialization > now:
        # The sample has to be of a whole window in which the Pod was ready.
        return found.status == "False" or (sample.time is not None and sample.time < since + sample.window)
    return found.status == "False" and started + delays.initial_readiness > since


def requests(pods: Sequence[Pod], resource: str, container: str = "") -> dict[str, int]:
    """What each Pod (or its container) asks for. Raises NoReplicas where one does not say so."""
    return {pod.metadata.name: _request(pod, resource, container) for pod in pods}


def _request(pod: Pod, resource: str, container: str) -> int:
    if container:
        return _container_request(pod, resource, container)
    if pod.spec.resources is not None and any(_is_pod_level(name) for name in pod.spec.resources.requests):
        return _pod_request(pod, resource, pod.spec.resources.requests)
    return sum(_asked(pod, entry, resource) for entry in _lasting(pod))


def _container_request(pod: Pod, resource: str, container: str) -> int:
    for entry in _lasting(pod):
        if entry.name == container:
            return _asked(pod, entry, resource)
    raise NoReplicas(f"container {container} not found in Pod {pod.metadata.name}")


def _pod_request(pod: Pod, resource: str, whole: Mapping[str, Wire]) -> int:
    """Of a Pod that says for some resources what it wants as a whole."""
    overhead = milli(pod.spec.overhead.get(resource, 0))
    if resource in whole:
        return milli(whole[resource]) + overhead
    asked = [entry.resources.requests for entry in (*pod.spec.containers, *pod.spec.init_containers)]
    if not any(resource in amounts for amounts in asked):
        raise NoReplicas(f"missing pod-level request for {resource} in Pod {pod.metadata.name}")
    lasting = sum(milli(entry.resources.requests.get(resource, 0)) for entry in _lasting(pod))
    return max(lasting, _while_starting(pod, resource)) + overhead


def _while_starting(pod: Pod, resource: str) -> int:
    """The most that an init container needs, with the sidecars that run by then."""
    most = sidecars = 0
    for entry in pod.spec.init_containers:
        own = milli(entry.resources.requests.get(resource, 0))
        sidecars += own if entry.restart_policy == "Always" else 0
        most = max(most, sidecars if entry.restart_policy == "Always" else sidecars + own)
    return most


def _lasting(pod: Pod) -> Iterator[Container]:
    """The containers that run as long as the Pod."""
    yield from pod.spec.containers
    yield from (entry for entry in pod.spec.init_containers if entry.restart_policy == "Always")


def _asked(pod: Pod, entry: Container, resource: str) -> int:
    if resource not in entry.resources.requests:
        raise NoReplicas(
            f"missing request for {resource} in container {entry.name} of Pod {pod.metadata.name}"
        )
    return milli(entry.resources.requests[resource])


def _is_pod_level(name: str) -> bool:
    return name in ("cpu", "memory") or name.startswith("hugepages-")


@dataclass(frozen=True)
class Usage:
    """What follows from the samples of Pods."""

    replicas: int
    average: int
    utilization: int | None = None
    """Percent of the requests, where that was the target."""


@dataclass(frozen=True)
class Ratio:
    ratio: float
    average: int
    utilization: int | None = None


def utilization_ratio(samples: Mapping[str, int], asked: Mapping[str, int], target: int) -> Ratio:
    """Raises NoReplicas where the samples are of other Pods."""
    known = [name for name in samples if name in asked]
    total, requested = sum(samples[name] for name in known), sum(asked[name] for name in known)
    if not requested:
        raise NoReplicas("no metrics returned matched known pods")
    percent = total * 100 // requested
    return Ratio(percent / target, total // len(known), percent)


def average_ratio(samples: Mapping[str, int], target: int) -> Ratio:
    average = sum(samples.values()) // len(samples)
    return Ratio(average / target, average)


@dataclass(frozen=True)
class PodsTarget:
    """What samples of Pods are measured by: their average value, or with `utilization` percent of what the
    Pods (or their `container`) ask for."""

    value: int
    resource: str = ""
    utilization: bool = False
    container: str = ""

    def scale(self, pods: Sequence[Pod]) -> Scale:
        """Raises NoReplicas."""
        return Scale(self.value, requests(pods, self.resource, self.container) if self.utilization else None)


@dataclass(frozen=True)
class Scale:
    """A target, with what the Pods ask for where it is a share of that."""

    value: int
    asked: Mapping[str, int] | None

    def ratio(self, values: Mapping[str, int]) -> Ratio:
        if self.asked is None:
            return average_ratio(values, self.value)
        return utilization_ratio(values, self.asked, self.value)

    def busy(self, name: str) -> int:
        """What a Pod of which nothing is known may use at most."""
        if self.asked is None:
            return self.value
        return self.asked.get(name, 0) * max(100, self.value) // 100


def pods_replicas(
    current: int, pods: Sequence[Pod], samples: Mapping[str, Sample], target: PodsTarget,
    tolerances: Tolerances, delays: Delays, now: datetime,
) -> Usage:  # fmt: skip
    """Replicas so that each Pod comes to the target. Raises NoReplicas."""
    if not pods:
        raise NoReplicas("no pods returned by selector while calculating replica count")
    groups = group(pods, samples, target.resource, delays, now)
    left = samples.keys() - groups.ignored - groups.unready
    values = {name: samples[name].value for name in left}
    if not values:
        raise NoReplicas("did not receive metrics for targeted pods (pods might be unready)")
    scale = target.scale(pods)
    first = scale.ratio(values)
    stay = Usage(current, first.average, first.utilization)
    rebalance = bool(groups.unready) and first.ratio > 1.0
    if not rebalance and not groups.missing:
        if tolerances.cover(first.ratio):
            return stay
        return Usage(math.ceil(first.ratio * groups.ready), first.average, first.utilization)
    if first.ratio != 1.0:
        values |= {name: scale.busy(name) if first.ratio < 1.0 else 0 for name in groups.missing}
    if rebalance:
        values |= dict.fromkeys(groups.unready, 0)
    again = scale.ratio(values).ratio
    if tolerances.cover(again) or (first.ratio < 1.0 < again) or (again < 1.0 < first.ratio):
        return stay
    wanted = math.ceil(again * len(values))
    if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return stay
    return Usage(wanted, first.average, first.utilization)


def value_replicas(current: int, pods: Sequence[Pod], value: int, target: int, tolerances: Tolerances) -> int:
    """Replicas for a value that all Pods share. From none at all, the value alone decides."""
    ratio = value / target
    if not current:
        return math.ceil(ratio)
    if tolerances.cover(ratio):
        return current
    if not pods:
        raise NoReplicas(
            "unable to calculate ready pods: no pods returned by selector while calculating replica count"
        )
    ready = sum(pod.status.phase == "Running" and pod.ready for pod in pods)
    return math.ceil(ratio * ready)


def share_replicas(running: int, value: int, target: int, tolerances: Tolerances) -> tuple[int, int]:
    """Replicas so that each takes `target` of a value, and what each has now."""
    if not running:
        return math.ceil(value / target), 0
    wanted = running
    if not tolerances.cover(value / (target * running)):
        wanted = math.ceil(value / target)
    return wanted, math.ceil(value / running)
