"""Which Pods to create, delete and replace next. Plain functions.

Owns: the order. In ordered sets a Pod is created when all before it are available, and deleted when all that
remain are; parallel sets do both at once. Scaling comes before updating.
Elsewhere: what a Pod of an ordinal is (identity.py), taking the steps (controller.py).

Invariant: an ordered set never has two Pods being created or deleted by one plan, updates aside; an update
takes no available Pod away while maxUnavailable Pods are down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kplane.api.types import Pod
from kplane.api.types.apps import StatefulSet

from ..pods import available
from .identity import in_range, ordinal_of, revision_of, start


@dataclass
class Plan:
    keep: list[Pod] = field(default_factory=list)
    """Pods whose identity and claims have to be right before anything below is done."""
    restart: list[Pod] = field(default_factory=list)
    """Pods that have run to their end; they come back under their name."""
    create: list[int] = field(default_factory=list)
    """Ordinals without a Pod."""
    condemned: list[Pod] = field(default_factory=list)
    """Pods outside the range of ordinals, whose claims have to be right before they go."""
    delete: list[Pod] = field(default_factory=list)
    """Condemned Pods that go now."""
    update: list[Pod] = field(default_factory=list)
    """Pods of an old revision that go now, to come back with the new one."""
    down: int | None = None
    """How many of the Pods that there should be are not available; None while updates have to wait."""


def is_parallel(sts: StatefulSet) -> bool:
    return sts.spec.pod_management_policy == "Parallel"


def running_and_available(sts: StatefulSet, pod: Pod, now: datetime) -> bool:
    return pod.status.phase == "Running" and available(pod, sts.spec.min_ready_seconds, now)


def healthy(sts: StatefulSet, pod: Pod, now: datetime) -> bool:
    return running_and_available(sts, pod, now) and pod.metadata.deletion_timestamp is None


def plan(sts: StatefulSet, pods: Sequence[Pod], update_revision: str, now: datetime) -> Plan:
    """The step from `pods`, those of the set by ownership and name."""
    by_ordinal = {ordinal_of(pod): pod for pod in pods}
    first = start(sts)
    replicas = [by_ordinal.get(ordinal) for ordinal in range(first, first + sts.spec.replicas)]
    step = Plan()
    if not _replicas(sts, replicas, step, now):
        return step
    condemned = sorted((pod for pod in pods if not in_range(sts, pod)), key=ordinal_of, reverse=True)
    step.condemned = condemned
    if _condemned(sts, replicas, condemned, step, now) and sts.spec.update_strategy.type != "OnDelete":
        step.down = sum(pod is None or not healthy(sts, pod, now) for pod in replicas)
        step.update = updates(sts, replicas, update_revision, step.down, now)
    return step


def _replicas(sts: StatefulSet, replicas: Sequence[Pod | None], step: Plan, now: datetime) -> bool:
    """Look at the Pods that the set should have, lowest ordinal first; whether to go on after them."""
    ordered = not is_parallel(sts)
    for ordinal, pod in enumerate(replicas, start(sts)):
        if pod is None:
            step.create.append(ordinal)
        elif not pod.terminal:
            step.keep.append(pod)
        elif pod.metadata.deletion_timestamp is None:
            step.restart.append(pod)
        if ordered and (pod is None or not healthy(sts, pod, now)):
            return False
    return True


def _condemned(
    sts: StatefulSet, replicas: Sequence[Pod | None], condemned: Sequence[Pod], step: Plan, now: datetime
) -> bool:
    """Choose the condemned Pods that go, highest ordinal first; whether to go on after them."""
    if is_parallel(sts):
        step.delete = [pod for pod in condemned if pod.metadata.deletion_timestamp is None]
        return True
    sick = [pod for pod in (*replicas, *reversed(condemned)) if pod and not healthy(sts, pod, now)]
    for pod in condemned[:1]:
        # One that is sick may hold up those above it for ever, unless it is itself the first that is sick.
        waits = not running_and_available(sts, pod, now) and pod is not sick[0]
        if pod.metadata.deletion_timestamp is None and not waits:
            step.delete.append(pod)
    return not condemned


def updates(
    sts: StatefulSet, replicas: Sequence[Pod | None], update_revision: str, down: int, now: datetime
) -> list[Pod]:
    """The Pods of old revisions to take away, highest ordinal first, when so many are `down` already.

    An ordered set gets here only with Pods that are all healthy. In a parallel one, those that are down
    anyway go all at once, whatever maxUnavailable says: it may be the old revision that keeps them down.
    """
    first = start(sts) + partition(sts)
    old = [pod for pod in replicas if pod and _outdated(pod, update_revision) and ordinal_of(pod) >= first]
    old.reverse()
    broken = [pod for pod in old if not healthy(sts, pod, now)]
    spare = max(max_unavailable(sts) - down, 0)
    return broken + [pod for pod in old if healthy(sts, pod, now)][:spare]


def _outdated(pod: Pod, update_revision: str) -> bool:
    return revision_of(pod) != update_revision and pod.metadata.deletion_timestamp is None


def partition(sts: StatefulSet) -> int:
    """How many Pods, from the first ordinal on, stay at the current revision."""
    rolling = sts.spec.update_strategy.rolling_update
    return rolling.partition if rolling else 0


def max_unavailable(sts: StatefulSet) -> int:
    """How many Pods may be down during an update: a share rounds down, and is at least 1."""
    rolling = sts.spec.update_strategy.rolling_update
    value = rolling.max_unavailable if rolling else None
    if isinstance(value, str):
        value = int(value.removesuffix("%")) * sts.spec.replicas // 100
    return max(1 if value is None else value, 1)


def at_current_revision(sts: StatefulSet, ordinal: int) -> bool:
    """Whether a Pod that is created for this ordinal is of the current revision, not the update's."""
    if sts.spec.update_strategy.type != "RollingUpdate":
        return False
    rolling = sts.spec.update_strategy.rolling_update
    kept = rolling.partition if rolling else sts.status.current_replicas
    return ordinal < start(sts) + kept
