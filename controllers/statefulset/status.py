"""Status of a StatefulSet: counts and revisions. Plain functions.

Invariant: currentRevision becomes updateRevision only when all Pods are of the new one and ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.api.types.apps import StatefulSet, StatefulSetStatus

from .identity import revision_of
from .plan import running_and_available


@dataclass(frozen=True)
class Revisions:
    """Names of the revisions that a set is between, and the collision count that they were named with."""

    current: str
    update: str
    collision_count: int | None


def new_status(
    sts: StatefulSet, pods: Sequence[Pod], revisions: Revisions, now: datetime
) -> StatefulSetStatus:
    """The status, from the Pods of the set."""
    staying = [revision_of(pod) for pod in pods if pod.metadata.deletion_timestamp is None]
    ready = sum(pod.ready and pod.status.phase == "Running" for pod in pods)
    updated = staying.count(revisions.update)
    want = sts.spec.replicas
    rolling = sts.spec.update_strategy.type == "RollingUpdate"
    complete = rolling and updated == ready == len(pods) == want
    return StatefulSetStatus(
        replicas=len(pods),
        ready_replicas=ready,
        available_replicas=sum(running_and_available(sts, pod, now) for pod in pods),
        current_replicas=updated if complete else staying.count(revisions.current),
        updated_replicas=updated,
        current_revision=revisions.update if complete else revisions.current,
        update_revision=revisions.update,
        observed_generation=sts.metadata.generation,
        collision_count=revisions.collision_count or 0,
    )


def body(status: StatefulSetStatus) -> Object:
    """The status as a merge patch."""
    return {
        "replicas": status.replicas,
        "availableReplicas": status.available_replicas,
        "readyReplicas": status.ready_replicas or None,
        "currentReplicas": status.current_replicas or None,
        "updatedReplicas": status.updated_replicas or None,
        "currentRevision": status.current_revision or None,
        "updateRevision": status.update_revision or None,
        "observedGeneration": status.observed_generation or None,
        "collisionCount": status.collision_count,
    }
