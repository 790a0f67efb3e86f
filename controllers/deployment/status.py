"""Status of a Deployment: counts, conditions, and when a rollout counts as stuck. Plain functions.

Invariant: a condition's lastTransitionTime changes only with its status.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from kplane.api.resource import Object
from kplane.api.types import Condition, Deployment, ReplicaSet
from kplane.api.types.apps import DeploymentStatus
from kplane.api.types.meta import condition

from ..status import conditions_body, counts, without
from .history import UNLIMITED
from .plan import max_unavailable, total

NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progress_deadline_seconds not in (None, UNLIMITED)


def set_condition(
    conditions: Sequence[Condition], kind: str, status: str, reason: str, message: str, now: datetime
) -> tuple[Condition, ...]:
    """The conditions with this one in force; unchanged if it had this status and reason already."""
    old = condition(tuple(conditions), kind)
    if old and (old.status, old.reason) == (status, reason):
        return tuple(conditions)
    return (*without(conditions, kind), _condition(old, kind, status, reason, message, now))


def _condition(
    old: Condition | None, kind: str, status: str, reason: str, message: str, now: datetime
) -> Condition:
    since = old.last_transition_time if old and old.status == status else now
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_update_time=now,
        last_transition_time=since,
    )


def calculated(
    deployment: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, now: datetime
) -> DeploymentStatus:
    """Counts and the Available condition, from the status of the sets."""
    available = sum(rs.status.available_replicas for rs in sets)
    enough = available >= deployment.spec.replicas - max_unavailable(deployment)
    terminating = [rs.status.terminating_replicas for rs in sets]
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in sets),
        updated_replicas=new.status.replicas if new else 0,
        ready_replicas=sum(rs.status.ready_replicas for rs in sets),
        available_replicas=available,
        unavailable_replicas=max(total(sets) - available, 0),
        terminating_replicas=None if None in terminating else sum(count or 0 for count in terminating),
        collision_count=deployment.status.collision_count,
        conditions=set_condition(
            deployment.status.conditions,
            "Available",
            "True" if enough else "False",
            "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
            now,
        ),
    )


def rollout(
    deployment: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, now: datetime
) -> DeploymentStatus:
    """`calculated`, with how the rollout is getting on."""
    status = calculated(deployment, sets, new, now)
    conditions = status.conditions
    current = condition(deployment.status.conditions, "Progressing")
    if not has_deadline(deployment):
        conditions = without(conditions, "Progressing")
    elif not (current and current.reason == NEW_SET_AVAILABLE and status.replicas == status.updated_replicas):
        conditions = _progress(deployment, status, current, new, now)
    conditions = without(conditions, "ReplicaFailure") + _failures(sets, new)
    return msgspec.structs.replace(status, conditions=conditions)


def _progress(
    deployment: Deployment,
    status: DeploymentStatus,
    current: Condition | None,
    new: ReplicaSet | None,
    now: datetime,
) -> tuple[Condition, ...]:
    subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    conditions = status.conditions
    if complete(deployment, status):
        message = f"{subject} has successfully progressed."
        return set_condition(conditions, "Progressing", "True", NEW_SET_AVAILABLE, message, now)
    if _advanced(deployment.status, status):
        # Every advance counts from now, so the condition is renewed even where only its time changes.
        message = f"{subject} is progressing."
        renewed = _condition(current, "Progressing", "True", "ReplicaSetUpdated", message, now)
        return (*without(conditions, "Progressing"), renewed)
    if timed_out(deployment, conditions, now):
        message = f"{subject} has timed out progressing."
        return set_condition(conditions, "Progressing", "False", TIMED_OUT, message, now)
    return conditions


def complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all replicas are of the new template and available, and no others are left."""
    counted = (status.updated_replicas, status.replicas, status.available_replicas)
    observed = status.observed_generation >= deployment.metadata.generation
    return observed and all(count == deployment.spec.replicas for count in counted)


def _advanced(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    return (
        new.updated_replicas > old.updated_replicas
        or new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
        or new.ready_replicas > old.ready_replicas
        or new.available_replicas > old.available_replicas
    )


def timed_out(deployment: Deployment, conditions: tuple[Condition, ...], now: datetime) -> bool:
    """Whether nothing has advanced for spec.progressDeadlineSeconds."""
    current = condition(conditions, "Progressing")
    if current is None or current.reason == NEW_SET_AVAILABLE:
        return False
    if current.reason == TIMED_OUT:
        return True
    seconds = deployment.spec.progress_deadline_seconds or 0
    return current.last_update_time is not None and (
        current.last_update_time + timedelta(seconds=seconds) < now
    )


def seconds_to_deadline(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """When to look whether the rollout has timed out; None where there is nothing to wait for."""
    current = condition(status.conditions, "Progressing")
    if not has_deadline(deployment) or current is None or current.last_update_time is None:
        return None
    if complete(deployment, status) or current.reason in (TIMED_OUT, NEW_SET_AVAILABLE):
        return None
    deadline = timedelta(seconds=deployment.spec.progress_deadline_seconds or 0)
    left = (current.last_update_time + deadline - now).total_seconds()
    # A second later than the deadline, which must have passed when we look.
    return max(left, 0) + 1


def _failures(sets: Sequence[ReplicaSet], new: ReplicaSet | None) -> tuple[Condition, ...]:
    """The first failure of the sets, the new one's before others."""
    for rs in ([new] if new else []) + list(sets):
        found = condition(rs.status.conditions, "ReplicaFailure")
        if found:
            return (msgspec.structs.replace(found, last_update_time=found.last_transition_time),)
    return ()


def pause_condition(deployment: Deployment, now: datetime) -> tuple[Condition, ...]:
    """The conditions after looking at spec.paused: a paused rollout has no deadline."""
    conditions = deployment.status.conditions
    current = condition(conditions, "Progressing")
    if not has_deadline(deployment) or (current and current.reason == TIMED_OUT):
        return conditions
    shown = current is not None and current.reason == PAUSED
    if deployment.spec.paused and not shown:
        return set_condition(conditions, "Progressing", "Unknown", PAUSED, "Deployment is paused", now)
    if shown and not deployment.spec.paused:
        return set_condition(
            conditions, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now
        )
    return conditions


def body(status: DeploymentStatus) -> Object:
    """The status as a merge patch."""
    numbers = {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "unavailableReplicas": status.unavailable_replicas,
    }
    return counts(numbers) | {
        "terminatingReplicas": status.terminating_replicas,
        "collisionCount": status.collision_count,
        "conditions": conditions_body(status.conditions),
    }
