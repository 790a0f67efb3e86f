"""How many replicas a metric asks for. No I/O.

Rules and texts: upstream's `replica_calculator.go`. Values are thousandths, as integers.

Invariant: Pods that are not ready, or of which nothing is known, never make a change larger: they count as
idle when it goes up, as busy when it goes down, and a change that they would turn round does not happen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kplane.api.quantity import milli
from kplane.api.types import Pod
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
    whole = pod.spec.resources.requests if pod.spec.resources is not None else {}
    if not container and resource in whole:
        return milli(whole[resource])
    sidecars = [entry for entry in pod.spec.init_containers if entry.restart_policy == "Always"]
    total = 0
    for entry in (*pod.spec.containers, *sidecars):
        if container and entry.name != container:
            continue
        if resource not in entry.resources.requests:
            raise NoReplicas(
                f"missing request for {resource} in container {entry.name} of Pod {pod.metadata.name}"
            )
        total += milli(entry.resources.requests[resource])
    return total


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
    """What samples of Pods are measured by: percent of `asked`, or, without it, their average value."""

    value: int
    resource: str = ""
    asked: Mapping[str, int] | None = None

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
        raise NoReplicas("did not receive metrics for any ready pods")
    first = target.ratio(values)
    stay = Usage(current, first.average, first.utilization)
    rebalance = bool(groups.unready) and first.ratio > 1.0
    if not rebalance and not groups.missing:
        if tolerances.cover(first.ratio):
            return stay
        return Usage(math.ceil(first.ratio * groups.ready), first.average, first.utilization)
    for name in groups.missing:
        values[name] = target.busy(name) if first.ratio < 1.0 else 0
    if rebalance:
        values |= dict.fromkeys(groups.unready, 0)
    again = target.ratio(values).ratio
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
