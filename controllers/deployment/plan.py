"""Sizes: how many replicas each ReplicaSet of a Deployment should have next. Plain functions.

Owns: the arithmetic of rolling updates and of proportional scaling, upstream's rounding included.
Elsewhere: writing the sizes (controller.py).

Invariant: within one plan the total never exceeds replicas + maxSurge, and no set is shrunk that would take
available Pods below replicas - maxUnavailable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.types import Deployment, ReplicaSet

from ..numbers import integer
from .template import by_creation

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True)
class Scale:
    """Give this set so many replicas."""

    rs: ReplicaSet
    size: int


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy.type == "RollingUpdate"


def fenceposts(deployment: Deployment) -> tuple[int, int]:
    """maxSurge and maxUnavailable in Pods: surge rounds up, unavailable down, never both 0."""
    rolling = deployment.spec.strategy.rolling_update
    total = deployment.spec.replicas
    surge = _scaled(rolling.max_surge if rolling else None, total, up=True)
    unavailable = _scaled(rolling.max_unavailable if rolling else None, total, up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _scaled(value: int | str | None, total: int, *, up: bool) -> int:
    if not isinstance(value, str):
        return value or 0
    share = int(value.removesuffix("%")) * total
    return -(-share // 100) if up else share // 100


def max_surge(deployment: Deployment) -> int:
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Deployment) -> int:
    if not is_rolling(deployment) or not deployment.spec.replicas:
        return 0
    return min(fenceposts(deployment)[1], deployment.spec.replicas)


def active(sets: Sequence[ReplicaSet | None]) -> list[ReplicaSet]:
    """The sets that should have Pods."""
    return [rs for rs in sets if rs and rs.spec.replicas > 0]


def total(sets: Sequence[ReplicaSet]) -> int:
    return sum(rs.spec.replicas for rs in sets)


def new_set_size(deployment: Deployment, current: int, all_sizes: int) -> int:
    """The size of the new set, which has `current` replicas of the `all_sizes` of all sets."""
    want = deployment.spec.replicas
    if not is_rolling(deployment):
        return want
    room = want + max_surge(deployment) - all_sizes
    return current + min(room, want - current) if room > 0 else current


def rolling(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Scale]:
    """One step of a rolling update: grow the new set if there is room, else shrink the old ones."""
    want = deployment.spec.replicas
    if new.spec.replicas > want:
        return [Scale(new, want)]
    size = new_set_size(deployment, new.spec.replicas, total([*old, new]))
    if size != new.spec.replicas:
        return [Scale(new, size)]
    return shrink_old(deployment, new, active(old))


def shrink_old(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Scale]:
    """Take unhealthy Pods from the old sets first, then as many healthy ones as can be spared."""
    oldest_first = sorted(old, key=by_creation)
    floor = deployment.spec.replicas - max_unavailable(deployment)
    new_unavailable = new.spec.replicas - new.status.available_replicas
    spare = total([*old, new]) - floor - new_unavailable
    if not old or spare <= 0:
        return []
    sizes = {rs.metadata.uid: rs.spec.replicas for rs in oldest_first}
    for rs in oldest_first:
        unhealthy = max(min(spare, rs.spec.replicas - rs.status.available_replicas), 0)
        sizes[rs.metadata.uid] -= unhealthy
        spare -= unhealthy
    spare = sum(rs.status.available_replicas for rs in (*old, new)) - floor
    for rs in oldest_first:
        healthy = max(min(spare, sizes[rs.metadata.uid]), 0)
        sizes[rs.metadata.uid] -= healthy
        spare -= healthy
    return [
        Scale(rs, sizes[rs.metadata.uid]) for rs in oldest_first if sizes[rs.metadata.uid] != rs.spec.replicas
    ]


def scaling_changed(deployment: Deployment, sets: Sequence[ReplicaSet]) -> bool:
    """Whether spec.replicas changed since the active sets were sized: scale first, roll later."""
    desired = (annotated(rs, DESIRED) for rs in active(sets))
    return any(count is not None and count != deployment.spec.replicas for count in desired)


def annotated(rs: ReplicaSet, name: str, *, bits: int = 32) -> int | None:
    """An annotation that holds a number; None where it is absent or holds something else."""
    return integer(rs.metadata.annotations.get(name, ""), bits=bits)


def scaling(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> list[Scale]:
    """Bring the sets to spec.replicas without rolling out anything."""
    want = deployment.spec.replicas
    if only := _only_candidate(new, old):
        return [Scale(only, want)]
    if new is not None and _saturated(deployment, new):
        return [Scale(rs, 0) for rs in active(old)]
    return proportional(deployment, active([*old, new])) if is_rolling(deployment) else []


def _only_candidate(new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The one active set; where none is active, the newest; None where several are."""
    candidates = active([*old, new])
    if len(candidates) > 1 or not (old or new):
        return None
    return candidates[0] if candidates else new or max(old, key=by_creation)


def _saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    counts = (new.spec.replicas, annotated(new, DESIRED), new.status.available_replicas)
    return all(count == deployment.spec.replicas for count in counts)


def proportional(deployment: Deployment, sets: Sequence[ReplicaSet]) -> list[Scale]:
    """Spread a change of spec.replicas over the active sets of a rollout, by their sizes."""
    want = deployment.spec.replicas
    allowed = want + max_surge(deployment) if want else 0
    change = allowed - total(sets)
    ordered = _largest_first(sets, newest=change > 0)
    sizes = [rs.spec.replicas for rs in ordered]
    left = change
    for position, rs in enumerate(ordered):
        share = _share(deployment, rs)
        share = min(share, left) if change > 0 else max(share, left)
        if left:
            sizes[position] += share
            left -= share
    if change:
        sizes[0] = max(sizes[0] + left, 0)
    return [Scale(rs, size) for rs, size in zip(ordered, sizes, strict=True)]


def _largest_first(sets: Sequence[ReplicaSet], *, newest: bool) -> list[ReplicaSet]:
    by_age = sorted(sets, key=by_creation, reverse=newest)
    return sorted(by_age, key=lambda rs: -rs.spec.replicas)


def _share(deployment: Deployment, rs: ReplicaSet) -> int:
    """By how much this set changes if it keeps its part of the whole."""
    if not deployment.spec.replicas:
        return -rs.spec.replicas
    before = annotated(rs, MAXIMUM) or deployment.status.replicas
    if not before:
        return 0
    maximum = deployment.spec.replicas + max_surge(deployment)
    return math.floor(rs.spec.replicas * maximum / before + 0.5) - rs.spec.replicas
