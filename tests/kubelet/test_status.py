"""The status that the kubelet reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.interface import ContainerState
from kplane.kubelet.state import PodState
from kplane.kubelet.status import Circumstances, Waiting, pod_status
from kplane.kubelet.status_manager import changes
from kplane.kubelet.verdicts import Verdicts

from .support import condition_of, pod_of, run_of, state_of

EXITED = ContainerState.EXITED
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEB = {"name": "web", "image": "web:1"}
INIT = {"name": "init", "image": "i"}


def reported(pod: Pod, state: PodState, old: Object | None = None, **around: Any) -> Object:
    given = {"verdicts": Verdicts(), **around}
    return pod_status(
        pod, state, Circumstances(NOW, host_ips=("192.0.2.1",), scheme="containerd", **given), old or {}
    )


def test_new_pod_is_pending_and_being_created() -> None:
    status = reported(pod_of(), PodState())

    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition_of(status, "PodReadyToStartContainers")["status"] == "False"
    ready = condition_of(status, "Ready")
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [web]",
    )


def test_running_pod_is_ready_with_addresses() -> None:
    pod = pod_of()

    status = reported(pod, state_of(run_of(pod, "web")))

    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Running", "10.1.0.2", "192.0.2.1")
    container = status["containerStatuses"][0]
    assert container["containerID"] == "containerd://web-0"
    assert (container["ready"], container["started"]) == (True, True)
    assert condition_of(status, "Ready")["status"] == "True"


def test_main_containers_wait_as_initializing() -> None:
    pod = pod_of(init=(INIT,))

    status = reported(pod, state_of(run_of(pod, "init")))

    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition_of(status, "Initialized")["message"] == "containers with incomplete status: [init]"


def test_container_without_readiness_verdict_is_not_ready() -> None:
    pod = pod_of(WEB | {"readinessProbe": {"exec": {"command": ["x"]}}})
    state = state_of(run_of(pod, "web"))

    assert reported(pod, state)["containerStatuses"][0]["ready"] is False
    passed = Verdicts({("web-0", "readiness"): True})
    assert reported(pod, state, verdicts=passed)["containerStatuses"][0]["ready"] is True


def test_crash_loop_shows_the_reason_and_the_last_state() -> None:
    pod = pod_of()
    state = state_of(run_of(pod, "web", EXITED, attempt=3, exit_code=2, finished=5))

    status = reported(pod, state, waiting={"web": Waiting("CrashLoopBackOff", "back-off 10s …")})

    container = status["containerStatuses"][0]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["exitCode"] == 2
    assert container["restartCount"] == 3
    assert status["phase"] == "Running"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        pytest.param("Never", 0, "Succeeded", id="succeeded"),
        pytest.param("Never", 3, "Failed", id="failed"),
        pytest.param("OnFailure", 3, "Running", id="will run again"),
        pytest.param("Always", 0, "Running", id="always runs again"),
    ],
)
def test_phase_of_a_pod_whose_container_ended(policy: str, code: int, phase: str) -> None:
    pod = pod_of(restartPolicy=policy)

    assert reported(pod, state_of(run_of(pod, "web", EXITED, exit_code=code)))["phase"] == phase


def test_succeeded_pod_says_so_in_its_conditions() -> None:
    pod = pod_of(restartPolicy="Never")

    status = reported(pod, state_of(run_of(pod, "web", EXITED)))

    assert {entry["type"]: entry.get("reason") for entry in status["conditions"]} == {
        "PodReadyToStartContainers": None,
        "Initialized": "PodCompleted",
        "Ready": "PodCompleted",
        "ContainersReady": "PodCompleted",
        "PodScheduled": None,
    }


def test_phase_is_not_terminal_while_a_sidecar_still_runs() -> None:
    pod = pod_of(init=(INIT | {"restartPolicy": "Always"},), restartPolicy="Never")
    state = state_of(run_of(pod, "init"), run_of(pod, "web", EXITED))

    assert reported(pod, state, {"phase": "Running"})["phase"] == "Running"


def test_stopped_pod_fails_unless_all_ended_well() -> None:
    pod = pod_of()

    assert reported(pod, state_of(run_of(pod, "web", EXITED, exit_code=143)), ended=True)["phase"] == "Failed"
    assert reported(pod, state_of(run_of(pod, "web", EXITED)), ended=True)["phase"] == "Succeeded"


def test_container_that_vanished_is_reported_as_unknown() -> None:
    running = {"name": "web", "state": {"running": {}}, "restartCount": 4}

    status = reported(pod_of(), PodState(), {"phase": "Running", "containerStatuses": [running]}, ended=True)

    ended = status["containerStatuses"][0]
    assert ended["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert ended["restartCount"] == 4


def test_conditions_of_others_and_transition_times_are_kept() -> None:
    old = {
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
            {"type": "example.com/gate", "status": "True"},
        ]
    }
    pod = pod_of()

    status = reported(pod, state_of(run_of(pod, "web")), old)

    assert condition_of(status, "Ready")["lastTransitionTime"] == "2025-01-01T00:00:00Z"
    assert condition_of(status, "example.com/gate") == {"type": "example.com/gate", "status": "True"}


def test_readiness_gate_holds_the_pod_back() -> None:
    pod = pod_of(readinessGates=[{"conditionType": "example.com/gate"}])

    ready = condition_of(reported(pod, state_of(run_of(pod, "web"))), "Ready")

    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")


def test_unchanged_status_is_no_patch() -> None:
    pod = pod_of()
    status = reported(pod, state_of(run_of(pod, "web")))

    assert changes(status, reported(pod, state_of(run_of(pod, "web")), status)) == {}


def test_patch_holds_only_what_changed_and_clears_what_is_gone() -> None:
    old = {
        "phase": "Pending",
        "reason": "X",
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
        "podIPs": [{"ip": "a"}],
    }
    new = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIPs": [{"ip": "b"}]}

    assert changes(old, new) == {
        "phase": "Running",
        "reason": None,
        "conditions": [{"type": "Ready", "status": "True", "reason": None}],
        "podIPs": [{"$patch": "replace"}, {"ip": "b"}],
    }
