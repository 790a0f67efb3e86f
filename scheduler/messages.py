"""What people read when a Pod does not fit, worded as upstream's FitError and DefaultPreemption."""

from __future__ import annotations

from collections.abc import Mapping

from .pod import PodInfo

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
WAITING = "not eligible due to a terminating pod on the nominated node."
NEVER_PREEMPTS = "not eligible due to preemptionPolicy=Never."

LONGEST_NOTE = 1024
"""Events hold no longer message."""


def unschedulable(pod: PodInfo, nodes: int, reasons: Mapping[str, int], curable: int) -> str:
    """Why none of so many nodes fits; on `curable` of them, evicting other Pods might have helped."""
    if pod.pod.spec.preemption_policy == "Never":
        preemption = NEVER_PREEMPTS
    else:
        preemption = unavailable(nodes, {NO_VICTIMS: curable, NOT_HELPFUL: nodes - curable})
    return f"{unavailable(nodes, reasons)} preemption: {preemption}"


def note(message: str) -> str:
    """The message as an Event can hold it."""
    if len(message) <= LONGEST_NOTE:
        return message
    return message[: LONGEST_NOTE - len(" ...")] + " ..."


def unavailable(nodes: int, reasons: Mapping[str, int]) -> str:
    """Why each of so many nodes is none for the Pod."""
    # Sorted as text, count first, as upstream does: "10 ..." comes before "2 ...".
    counted = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"0/{nodes} nodes are available: {', '.join(counted)}."
