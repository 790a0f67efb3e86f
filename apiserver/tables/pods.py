"""How pods are shown. The status is the most telling of phase, reasons and container states."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kplane.api.resource import Object

from .durations import age, human, moment
from .printer import AGE, NAME, Cells, Column, Printer, at, wide

COLUMNS = (
    NAME,
    Column("Ready", description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", description="The aggregate status of the containers in this pod."),
    Column("Restarts", description="The number of times the containers in this pod have been restarted and "
           "when the last container in this pod has restarted."),
    AGE,
    wide("IP", "core.v1.PodStatus.podIP"),
    wide("Node", "core.v1.PodSpec.nodeName"),
    wide("Nominated Node", "core.v1.PodStatus.nominatedNodeName"),
    wide("Readiness Gates", "core.v1.PodSpec.readinessGates"),
)  # fmt: skip

_COMPLETED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@dataclass(slots=True)
class Restarts:
    """How often containers were restarted, and when the last time was."""

    count: int = 0
    last: datetime | None = None

    def add(self, status: Object) -> None:
        self.count += status.get("restartCount", 0)
        if finished := at(status, "lastState", "terminated", "finishedAt"):
            ended = moment(finished)
            self.last = ended if self.last is None else max(self.last, ended)

    def cell(self, now: datetime) -> str:
        if self.count and self.last:
            return f"{self.count} ({human((now - self.last).total_seconds())} ago)"
        return str(self.count)


@dataclass(slots=True)
class Summary:
    """What the cells say of the containers."""

    reason: str
    ready: int
    total: int
    restarts: Restarts


def cells(pod: Object, now: datetime) -> Cells:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    summary = summarise(pod)
    addresses = status.get("podIPs") or [{}]
    return [
        pod["metadata"]["name"],
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts.cell(now),
        age(pod, now),
        addresses[0].get("ip") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _readiness_gates(spec, status),
    ]


def summarise(pod: Object) -> Summary:
    """Readiness, restarts and status of a pod."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {
        container["name"]
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    summary = Summary(_pod_reason(status), 0, len(spec.get("containers") or ()) + len(sidecars), Restarts())
    sidecar_restarts = Restarts()
    initialising = _add_init_containers(summary, sidecar_restarts, sidecars, spec, status)
    if not initialising or _is_true(status, "Initialized"):
        # Restarts of init containers that are over no longer matter to anybody.
        summary.restarts = sidecar_restarts
        _add_containers(summary, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in _COMPLETED:
            summary.reason = "Terminating"
    return summary


def _pod_reason(status: Object) -> str:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    reason: str = status.get("reason") or status.get("phase") or ""
    return reason


def _add_init_containers(
    summary: Summary, sidecar_restarts: Restarts, sidecars: set[str], spec: Object, status: Object
) -> bool:
    """Count the init containers in; whether one of them is still to be waited for."""
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        is_sidecar = container["name"] in sidecars
        summary.restarts.add(container)
        if is_sidecar:
            sidecar_restarts.add(container)
        terminated = at(container, "state", "terminated")
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if is_sidecar and container.get("started"):
            summary.ready += bool(container.get("ready"))
            continue
        waiting = at(container, "state", "waiting", "reason", default="")
        if terminated:
            summary.reason = f"Init:{_termination(terminated)}"
        elif waiting and waiting != "PodInitializing":
            summary.reason = f"Init:{waiting}"
        else:
            summary.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _add_containers(summary: Summary, status: Object) -> None:
    running = False
    # Backwards, because the first container's reason shall be the one that is shown.
    for container in reversed(status.get("containerStatuses") or ()):
        summary.restarts.add(container)
        state = container.get("state") or {}
        if waiting := at(state, "waiting", "reason"):
            summary.reason = waiting
        elif (terminated := state.get("terminated")) is not None:
            summary.reason = _termination(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed" and running:
        summary.reason = "Running" if _is_true(status, "Ready") else "NotReady"


def _termination(terminated: Object) -> str:
    """`Error`, `OOMKilled`, `Signal:9`, `ExitCode:1`."""
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_true(status: Object, kind: str) -> bool:
    return any(
        entry["type"] == kind and entry["status"] == "True" for entry in status.get("conditions") or ()
    )


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return "<none>"
    return f"{sum(_is_true(status, gate['conditionType']) for gate in gates)}/{len(gates)}"


def conditions(pod: Object) -> list[Object]:
    phase = at(pod, "status", "phase")
    if message := _COMPLETED.get(phase):
        return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]
    return []


POD = Printer(COLUMNS, cells, conditions)
