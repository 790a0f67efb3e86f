"""Status of a DaemonSet: nodes counted by the Pods they have. Plain functions."""

from __future__ import annotations

from kplane.api.resource import Object
from kplane.api.types.apps import DaemonSetStatus

from .plan import Fleet


def new_status(fleet: Fleet, collision_count: int | None) -> DaemonSetStatus:
    """The status; of a node with several Pods the oldest counts."""
    wanted = fleet.wanted
    shown = [fleet.pods[name][0] for name in wanted if fleet.pods[name]]
    available = sum(fleet.available(pod) for pod in shown)
    misplaced = [name for name, entry in fleet.eligible.items() if not entry.start and fleet.pods[name]]
    return DaemonSetStatus(
        current_number_scheduled=len(shown),
        number_misscheduled=len(misplaced),
        desired_number_scheduled=len(wanted),
        number_ready=sum(pod.ready for pod in shown),
        updated_number_scheduled=sum(fleet.updated(pod) for pod in shown),
        number_available=available,
        number_unavailable=len(wanted) - available,
        observed_generation=fleet.ds.metadata.generation,
        collision_count=collision_count,
    )


def body(status: DaemonSetStatus) -> Object:
    """The status as a merge patch."""
    return {
        "currentNumberScheduled": status.current_number_scheduled,
        "numberMisscheduled": status.number_misscheduled,
        "desiredNumberScheduled": status.desired_number_scheduled,
        "numberReady": status.number_ready,
        "updatedNumberScheduled": status.updated_number_scheduled or None,
        "numberAvailable": status.number_available or None,
        "numberUnavailable": status.number_unavailable or None,
        "observedGeneration": status.observed_generation or None,
        "collisionCount": status.collision_count,
    }
