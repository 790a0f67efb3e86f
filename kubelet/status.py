"""The status of a pod as the API shows it, from its spec, the runtime's state and the probes. Pure.

Source: the kubelet's `generateAPIPodStatus`, `convertToAPIContainerStatuses` and `status/generate.go`.
What the kubelet does not own in the status (others' conditions, `qosClass` and `startTime` once set) is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.resource import Object

from .conditions import conditions
from .pod import Container, Pod, Quantities, ResourceRequirements
from .resources import qos_class
from .restarts import runs_again
from .runtime.interface import ContainerState, ContainerStatus
from .state import PodState
from .verdicts import Verdicts

NANO = 1_000_000_000


@dataclass(frozen=True)
class Waiting:
    """Why a container is not running: the reason and message of its last failed start, or of its back-off."""

    reason: str
    message: str


@dataclass(frozen=True)
class Circumstances:
    """All that the status depends on beside spec and runtime."""

    now: datetime
    verdicts: Verdicts
    host_ips: Sequence[str]
    scheme: str
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    ended: bool = False
    """The kubelet has stopped everything of the pod for good."""
    verdict: Waiting | None = None
    """Why the kubelet failed the pod as a whole (deadline, admission)."""
    resizes: Sequence[Object] = ()
    """Conditions about a resize in place."""
    in_force: Mapping[str, ResourceRequirements] = field(default_factory=dict)
    """Resources of containers, where they are not (yet) those of the spec."""


def pod_status(pod: Pod, state: PodState, around: Circumstances, old: Object) -> Object:
    """The whole status; `old` is the one last reported."""
    init = [_container_status(pod, entry, state, around, old) for entry in pod.spec.init_containers]
    main = [_container_status(pod, entry, state, around, old) for entry in pod.spec.containers]
    ephemeral = [_ephemeral_status(pod, entry, state, around, old) for entry in pod.spec.ephemeral_containers]
    phase = pod_phase(pod, init, main, state, around, str(old.get("phase", "")))
    status: Object = {
        "phase": phase,
        "observedGeneration": pod.metadata.generation,
        "startTime": old.get("startTime") or rfc3339(around.now),
        "qosClass": old.get("qosClass") or qos_class(pod),
        **_addresses(pod, state, around, old),
    }
    verdict = around.verdict
    if verdict is not None:
        status |= {"reason": verdict.reason, "message": verdict.message}
    elif phase == old.get("phase") and phase in ("Succeeded", "Failed"):
        status |= {key: old[key] for key in ("reason", "message") if key in old}
    if init:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = main
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["conditions"] = conditions(
        pod, status, bool(state.ips), around.now, old.get("conditions", ()), around.resizes
    )
    return status


def _addresses(pod: Pod, state: PodState, around: Circumstances, old: Object) -> Object:
    found: Object = {}
    if around.host_ips:
        found["hostIP"] = around.host_ips[0]
        found["hostIPs"] = [{"ip": ip} for ip in around.host_ips]
    ips = state.ips or (tuple(around.host_ips) if pod.spec.host_network and state.sandbox else ())
    if ips:
        found["podIP"] = ips[0]
        found["podIPs"] = [{"ip": ip} for ip in ips]
    elif old.get("podIP"):
        found |= {key: old[key] for key in ("podIP", "podIPs") if key in old}
    return found


def pod_phase(
    pod: Pod,
    init: Sequence[Object],
    main: Sequence[Object],
    state: PodState,
    around: Circumstances,
    old_phase: str,
) -> str:
    if old_phase in ("Succeeded", "Failed"):
        return old_phase
    computed = "Failed" if around.verdict else _phase(pod, init, main, around.ended)
    # A terminal phase releases the pod's resources to the scheduler: not while something still runs.
    if computed in ("Succeeded", "Failed") and any(state.running()):
        return old_phase or "Pending"
    return computed


def _phase(pod: Pod, init: Sequence[Object], main: Sequence[Object], ended: bool) -> str:
    for status, container in zip(init, pod.spec.init_containers, strict=True):
        code = _exit_code(status)
        if code and not container.sidecar and not runs_again(pod, container, code):
            return "Failed"
    states = [_kind(status) for status in main]
    if ended:
        codes = [_exit_code(status) for status in main]
        never_ran = all(kind == "waiting" for kind in states)
        return "Failed" if never_ran or any(code != 0 for code in codes) else "Succeeded"
    if any(kind == "waiting" for kind in states):
        return "Pending"
    if any(kind == "running" for kind in states):
        return "Running"
    ends = [_exit_code(status) or 0 for status in main]
    pairs = zip(pod.spec.containers, ends, strict=True)
    if any(runs_again(pod, entry, end) for entry, end in pairs):
        return "Running"
    return "Failed" if any(ends) else "Succeeded"


def _kind(status: Object) -> str:
    """running, stopped (it has ended at least once), or waiting (it has never run)."""
    if "running" in status["state"]:
        return "running"
    if "terminated" in status["state"] or "terminated" in status.get("lastState", {}):
        return "stopped"
    return "waiting"


def _exit_code(status: Object) -> int | None:
    ended = status["state"].get("terminated") or status.get("lastState", {}).get("terminated")
    return None if ended is None else int(ended["exitCode"])


def _container_status(
    pod: Pod, container: Container, state: PodState, around: Circumstances, old: Object
) -> Object:
    runs = [run for run in state.runs(container.name) if run.state is not ContainerState.CREATED]
    before = _old_status(old, container.name)
    run = runs[0] if runs else None
    if run is None:
        return _without_run(pod, container, around, before, old)
    status: Object = {
        "name": container.name,
        "state": _state(run, around),
        "lastState": _last_state(runs, around),
        "ready": _ready(pod, container, run, around),
        "restartCount": run.attempt,
        "image": container.image if run.image.startswith("sha256:") else run.image or container.image,
        "imageID": run.image_ref,
        "containerID": f"{around.scheme}://{run.id}",
        "started": run.state is ContainerState.RUNNING and around.verdicts.started(container, run.id),
    }
    reason = around.waiting.get(container.name)
    if reason is not None and run.state is ContainerState.EXITED and not around.ended:
        status["lastState"] = status["state"]
        status["state"] = {"waiting": _waiting(reason)}
    return status | _extras(container, run, around)


def _ephemeral_status(
    pod: Pod, container: Container, state: PodState, around: Circumstances, old: Object
) -> Object:
    """Nobody waits for an ephemeral container: it is neither ready nor started."""
    status = _container_status(pod, container, state, around, old) | {"ready": False}
    del status["started"]
    return status


def _without_run(
    pod: Pod, container: Container, around: Circumstances, before: Object, old: Object
) -> Object:
    """A container that the runtime does not have: not made yet, or lost."""
    blocked = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
    waiting = around.waiting.get(container.name) or Waiting(blocked, "")
    state: Object = {"waiting": _waiting(waiting)}
    if around.ended and "running" in before.get("state", {}):
        state = {"terminated": _lost()}
    elif "terminated" in before.get("state", {}) and (around.ended or _one_shot(pod, container)):
        state = before["state"]
    return {
        "name": container.name,
        "state": state,
        "lastState": before.get("lastState", {}),
        "ready": _one_shot(pod, container) and state.get("terminated", {}).get("exitCode") == 0,
        "restartCount": int(before.get("restartCount", 0)),
        "image": container.image,
        "imageID": before.get("imageID", ""),
        **({"containerID": before["containerID"]} if before.get("containerID") else {}),
        "started": False,
    }


def _lost() -> Object:
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "startedAt": None,
        "finishedAt": None,
    }


def _one_shot(pod: Pod, container: Container) -> bool:
    return any(entry.name == container.name and not entry.sidecar for entry in pod.spec.init_containers)


def _ready(pod: Pod, container: Container, run: ContainerStatus, around: Circumstances) -> bool:
    if _one_shot(pod, container):
        return run.state is ContainerState.EXITED and run.exit_code == 0
    return run.state is ContainerState.RUNNING and around.verdicts.ready(container, run.id)


def _state(run: ContainerStatus, around: Circumstances) -> Object:
    if run.state is ContainerState.RUNNING:
        return {"running": {"startedAt": _moment(run.started_at)}}
    if run.state is ContainerState.EXITED:
        return {"terminated": _terminated(run, around)}
    return {"waiting": {"reason": "ContainerStatusUnknown"}}


def _terminated(run: ContainerStatus, around: Circumstances) -> Object:
    ended: Object = {
        "exitCode": run.exit_code,
        "reason": run.reason or ("Completed" if run.exit_code == 0 else "Error"),
        "startedAt": _moment(run.started_at),
        "finishedAt": _moment(run.finished_at),
        "containerID": f"{around.scheme}://{run.id}",
    }
    if run.message:
        ended["message"] = run.message
    return ended


def _last_state(runs: Sequence[ContainerStatus], around: Circumstances) -> Object:
    ended = next((run for run in runs[1:] if run.state is ContainerState.EXITED), None)
    return {"terminated": _terminated(ended, around)} if ended else {}


def _waiting(waiting: Waiting) -> Object:
    return {"reason": waiting.reason} | ({"message": waiting.message} if waiting.message else {})


def _extras(container: Container, run: ContainerStatus, around: Circumstances) -> Object:
    """Resources in force, of one that runs; mounts and user."""
    running = run.state is ContainerState.RUNNING
    actual = around.in_force.get(container.name, container.resources) if running else container.resources
    extras: Object = {"resources": _resources(actual.requests, actual.limits)}
    if not running:
        return extras
    if container.resources.requests:
        extras["allocatedResources"] = dict(container.resources.requests)
    if container.volume_mounts:
        extras["volumeMounts"] = [_mount(entry) for entry in container.volume_mounts]
    if run.user is not None:
        uid, gid, groups = run.user
        extras["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    return extras


def _resources(requests: Quantities, limits: Quantities) -> Object:
    found = {"requests": dict(requests), "limits": dict(limits)}
    return {key: value for key, value in found.items() if value}


def _mount(mount: Any) -> Object:
    found: Object = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        found |= {"readOnly": True, "recursiveReadOnly": mount.recursive_read_only or "Disabled"}
    return found


def _moment(nanoseconds: int) -> str | None:
    return rfc3339(datetime.fromtimestamp(nanoseconds // NANO, UTC)) if nanoseconds else None


def _old_status(old: Object, name: str) -> Object:
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    lists: Iterable[Object] = [entry for field in fields for entry in old.get(field, ())]
    return next((entry for entry in lists if entry.get("name") == name), {})
