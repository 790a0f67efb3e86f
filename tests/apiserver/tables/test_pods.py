"""How pods are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.apiserver.tables.pods import POD, cells

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_pod(*containers: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A pod whose containers have these statuses."""
    return {
        "metadata": {"name": "web", "creationTimestamp": "2026-01-02T03:03:05Z"} | rest.get("metadata", {}),
        "spec": {"containers": [{"name": f"c{i}"} for i in range(len(containers) or 1)]}
        | rest.get("spec", {}),
        "status": {"phase": "Pending", "containerStatuses": list(containers)} | rest.get("status", {}),
    }


def running(*, ready: bool = True, restarts: int = 0, **rest: Any) -> dict[str, Any]:
    return {"name": "c0", "ready": ready, "restartCount": restarts, "state": {"running": {}}, **rest}


def waiting(reason: str) -> dict[str, Any]:
    return {"name": "c0", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}}


def terminated(**state: Any) -> dict[str, Any]:
    return {"name": "c0", "ready": False, "restartCount": 0, "state": {"terminated": state}}


def init(*statuses: dict[str, Any], sidecars: bool = False) -> dict[str, Any]:
    policy = {"restartPolicy": "Always"} if sidecars else {}
    return {
        "spec": {"initContainers": [{"name": f"i{i}", **policy} for i in range(len(statuses))]},
        "status": {
            "initContainerStatuses": [status | {"name": f"i{i}"} for i, status in enumerate(statuses)]
        },
    }


DELETED = {"deletionTimestamp": "2026-01-02T03:04:00Z"}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("pod", "ready", "status"),
    [
        pytest.param(make_pod(), "0/1", "Pending", id="pending"),
        pytest.param(make_pod(running(), status={"phase": "Running"}), "1/1", "Running", id="running"),
        pytest.param(make_pod(waiting("CrashLoopBackOff")), "0/1", "CrashLoopBackOff", id="waiting"),
        pytest.param(make_pod(terminated(reason="OOMKilled", exitCode=137)), "0/1", "OOMKilled", id="reason"),
        pytest.param(make_pod(terminated(signal=9, exitCode=137)), "0/1", "Signal:9", id="signal"),
        pytest.param(make_pod(terminated(exitCode=2)), "0/1", "ExitCode:2", id="exit-code"),
        pytest.param(
            make_pod(running(), terminated(reason="Completed"), status=READY),
            "1/2",
            "Running",
            id="one-completed",
        ),
        pytest.param(
            make_pod(running(), terminated(reason="Completed"), status={"phase": "Running"}),
            "1/2",
            "NotReady",
            id="one-completed-not-ready",
        ),
        pytest.param(make_pod(running(), metadata=DELETED, status=READY), "1/1", "Terminating", id="deleted"),
        pytest.param(
            make_pod(terminated(reason="Completed"), metadata=DELETED, status={"phase": "Succeeded"}),
            "0/1",
            "Completed",
            id="deleted-but-finished",
        ),
        pytest.param(
            make_pod(running(), metadata=DELETED, status={"phase": "Running", "reason": "NodeLost"}),
            "1/1",
            "Unknown",
            id="node-lost",
        ),
        pytest.param(
            make_pod(status={"phase": "Failed", "reason": "Evicted"}), "0/1", "Evicted", id="pod-reason"
        ),
        pytest.param(
            make_pod(
                status={
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
                }
            ),
            "0/1",
            "SchedulingGated",
            id="gated",
        ),
        pytest.param(make_pod(**init(running())), "0/1", "Init:0/1", id="init"),
        pytest.param(
            make_pod(**init(terminated(exitCode=0), running())), "0/1", "Init:1/2", id="second-init"
        ),
        pytest.param(make_pod(**init(terminated(exitCode=1))), "0/1", "Init:ExitCode:1", id="init-failed"),
        pytest.param(
            make_pod(**init(waiting("ImagePullBackOff"))), "0/1", "Init:ImagePullBackOff", id="init-waits"
        ),
        pytest.param(make_pod(**init(waiting("PodInitializing"))), "0/1", "Init:0/1", id="init-not-yet"),
        pytest.param(
            make_pod(running(), **init(running(started=True), sidecars=True)), "2/2", "Pending", id="sidecar"
        ),
    ],
)
def test_status_and_readiness(pod: dict[str, Any], ready: str, status: str) -> None:
    shown = cells(pod, NOW)

    assert shown[1:3] == [ready, status]


@pytest.mark.parametrize(
    ("pod", "restarts"),
    [
        pytest.param(make_pod(running()), "0", id="never"),
        pytest.param(make_pod(running(restarts=3)), "3", id="unknown-when"),
        pytest.param(
            make_pod(running(restarts=1, lastState={"terminated": {"finishedAt": "2026-01-02T03:04:00Z"}})),
            "1 (5s ago)",
            id="with-time",
        ),
        pytest.param(
            make_pod(running(restarts=1), **init(terminated(exitCode=0) | {"restartCount": 4})),
            "1",
            id="finished-init-containers-do-not-count",
        ),
        pytest.param(
            make_pod(**init(waiting("CrashLoopBackOff") | {"restartCount": 4})), "4", id="failing-init"
        ),
    ],
)
def test_restarts(pod: dict[str, Any], restarts: str) -> None:
    assert cells(pod, NOW)[3] == restarts


def test_wide_columns_show_where_the_pod_is() -> None:
    pod = make_pod(
        running(),
        spec={"nodeName": "n1", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        status={"podIPs": [{"ip": "10.0.0.5"}], "conditions": [{"type": "a", "status": "True"}]},
    )

    assert cells(pod, NOW)[4:] == ["60s", "10.0.0.5", "n1", "<none>", "1/2"]
    assert cells(make_pod(), NOW)[5:] == ["<none>"] * 4


def test_a_finished_pod_has_a_row_condition() -> None:
    assert POD.conditions is not None
    assert [entry["reason"] for entry in POD.conditions(make_pod(status={"phase": "Failed"}))] == ["Failed"]
    assert POD.conditions(make_pod()) == []
