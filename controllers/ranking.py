"""Which Pods go first when a controller has too many of them.

Owns: upstream's orders, cheapest loss first: `controller.ActivePodsWithRanks` for sets,
`controller.ActivePods` for Jobs.
Reads: nothing but the Pods given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cmp_to_key

from kplane.api.types import Pod
from kplane.api.types.core import ContainerStatus
from kplane.api.types.meta import condition

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def deletion_order(pods: Sequence[Pod], related: Sequence[Pod], now: datetime) -> list[Pod]:
    """The Pods, first victim first.

    `related` are the active Pods of all sets under the same owner: a Pod that shares its node with many of
    them is missed least.
    """
    per_node = Counter(pod.spec.node_name for pod in related if pod.active)

    def compare(a: Pod, b: Pod) -> int:
        cheap = _cheapness(a, per_node), _cheapness(b, per_node)
        if cheap[0] != cheap[1]:
            return -1 if cheap[0] < cheap[1] else 1
        return _by_history(a, b, lambda since: _magnitude(now, since))

    return sorted(pods, key=cmp_to_key(compare))


def plain_order(pods: Sequence[Pod]) -> list[Pod]:
    """The Pods of a Job, first victim first: whatever they cost, and by their exact ages."""

    def compare(a: Pod, b: Pod) -> int:
        stages = _stage(a), _stage(b)
        if stages[0] != stages[1]:
            return -1 if stages[0] < stages[1] else 1
        return _by_history(a, b, lambda since: -since.timestamp())

    return sorted(pods, key=cmp_to_key(compare))


def _cheapness(pod: Pod, per_node: Counter[str]) -> tuple[tuple[bool, int, bool], int, int]:
    """By stage, then cheap by annotation, then doubled up."""
    return _stage(pod), deletion_cost(pod), -per_node[pod.spec.node_name]


def _stage(pod: Pod) -> tuple[bool, int, bool]:
    """Unassigned, then not yet running, then not ready."""
    return bool(pod.spec.node_name), _PHASES.get(pod.status.phase, 0), pod.ready


def deletion_cost(pod: Pod) -> int:
    """The Pod's annotation; what is not a 32-bit integer in canonical form counts as 0."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if str(cost) == text and -(2**31) <= cost < 2**31 else 0


def _by_history(a: Pod, b: Pod, age: Callable[[datetime], float]) -> int:
    """Recently ready, then often restarted, then recently created Pods go first."""
    if a.ready and b.ready:
        times = ready_since(a), ready_since(b)
        if times[0] != times[1]:
            return _newer_first(times[0], times[1], age) or _by_uid(a, b)
    if restarts(a) != restarts(b):
        return -1 if restarts(a) > restarts(b) else 1
    created = a.metadata.creation_timestamp, b.metadata.creation_timestamp
    if created[0] != created[1]:
        return _newer_first(created[0], created[1], age) or _by_uid(a, b)
    return 0


def _newer_first(a: datetime | None, b: datetime | None, age: Callable[[datetime], float]) -> int:
    if a is None or b is None:
        return -1 if a is None else 1
    ages = age(a), age(b)
    return (ages[0] > ages[1]) - (ages[0] < ages[1])


def _magnitude(now: datetime, since: datetime) -> int:
    """The logarithm of an age: Pods of about the same age go in random (uid) order, and repeated scaling does
    not always hit the youngest."""
    nanoseconds = (now - since).total_seconds() * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1


def _by_uid(a: Pod, b: Pod) -> int:
    return -1 if a.metadata.uid < b.metadata.uid else 1


def ready_since(pod: Pod) -> datetime | None:
    """When the Pod became ready, as its condition tells."""
    found = condition(pod.status.conditions, "Ready")
    return found.last_transition_time if found and found.status == "True" else None


def restarts(pod: Pod) -> tuple[int, int]:
    """The largest restart counts of its containers, and of its sidecars, which count less."""
    sidecars = {entry.name for entry in pod.spec.init_containers if entry.restart_policy == "Always"}
    beside = [entry for entry in pod.status.init_container_statuses if entry.name in sidecars]
    return _most(pod.status.container_statuses), _most(beside)


def _most(statuses: Sequence[ContainerStatus]) -> int:
    return max((status.restart_count for status in statuses), default=0)
