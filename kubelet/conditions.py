"""The pod's conditions that the kubelet owns. Pure. Source: the kubelet's `status/generate.go`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object

from .pod import Pod

READY_TO_START = "PodReadyToStartContainers"
RESIZES = ("PodResizePending", "PodResizeInProgress")
"""They exist only while they are true."""
OWNED = (*RESIZES, READY_TO_START, "Initialized", "Ready", "ContainersReady", "PodScheduled")


def conditions(
    pod: Pod,
    status: Object,
    has_network: bool,
    now: datetime,
    old: Iterable[Object],
    resizes: Iterable[Object] = (),
) -> list[Object]:
    """In upstream's order; those of others come after, as they are.

    `status` has phase and container statuses; a transition time changes only with the condition's status.
    """
    before = {entry["type"]: entry for entry in old}
    ready = _containers_ready(pod, status)
    computed = [
        *resizes,
        _of(READY_TO_START, has_network),
        _initialized(pod, status),
        _pod_ready(pod, ready, before),
        ready,
        _of("PodScheduled", True),
    ]
    finished = [_dated(pod, entry, before.get(entry["type"]), now) for entry in computed]
    return finished + [entry for kind, entry in before.items() if kind not in OWNED]


def _of(kind: str, value: bool, reason: str = "", message: str = "") -> Object:
    found: Object = {"type": kind, "status": "True" if value else "False"}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    return found


def _dated(pod: Pod, entry: Object, before: Object | None, now: datetime) -> Object:
    same = before is not None and before.get("status") == entry["status"]
    moved = before.get("lastTransitionTime") if same and before else None
    dates: Object = {"lastProbeTime": None, "lastTransitionTime": moved or rfc3339(now)}
    if pod.metadata.generation:
        dates["observedGeneration"] = pod.metadata.generation
    return dates | entry


def _initialized(pod: Pod, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return _of("Initialized", True, "PodCompleted")
    incomplete = []
    statuses = status.get("initContainerStatuses", ())
    for container, entry in zip(pod.spec.init_containers, statuses, strict=True):
        done = entry["started"] if container.sidecar else entry["ready"]
        if not done:
            incomplete.append(container.name)
    if not incomplete or _main_ran(status):
        return _of("Initialized", True)
    message = f"containers with incomplete status: {_listed(incomplete)}"
    return _of("Initialized", False, "ContainersNotInitialized", message)


def _main_ran(status: Object) -> bool:
    """A main container has run, so that initialization is over even if an init container is forgotten."""
    return any("waiting" not in entry["state"] or entry["lastState"] for entry in status["containerStatuses"])


def _containers_ready(pod: Pod, status: Object) -> Object:
    if status["phase"] == "Succeeded":
        return _of("ContainersReady", False, "PodCompleted")
    if status["phase"] == "Failed":
        return _of("ContainersReady", False, "PodFailed")
    sidecars = {entry.name for entry in pod.spec.init_containers if entry.sidecar}
    counted = [entry for entry in status.get("initContainerStatuses", ()) if entry["name"] in sidecars]
    counted += status["containerStatuses"]
    unready = [entry["name"] for entry in counted if not entry["ready"]]
    if not unready:
        return _of("ContainersReady", True)
    message = f"containers with unready status: {_listed(unready)}"
    return _of("ContainersReady", False, "ContainersNotReady", message)


def _pod_ready(pod: Pod, containers: Object, before: dict[str, Object]) -> Object:
    if containers["status"] != "True":
        return containers | {"type": "Ready"}
    unmet = []
    for gate in pod.spec.readiness_gates:
        found = before.get(gate.condition_type)
        if found is None:
            unmet.append(
                f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.'
            )
        elif found.get("status") != "True":
            unmet.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", '
                f"but {found.get('status')}"
            )
    if unmet:
        return _of("Ready", False, "ReadinessGatesNotReady", ", ".join(unmet))
    return _of("Ready", True)


def _listed(names: Sequence[str]) -> str:
    """As Go prints a slice."""
    return f"[{' '.join(names)}]"
