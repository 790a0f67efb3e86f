"""Ephemeral containers: added to a pod that runs, started once, seen in its status."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kplane.api.resource import Key, Object
from kplane.kubelet.backoff import BackOff
from kplane.kubelet.plan import plan
from kplane.kubelet.pod import Pod, field_path
from kplane.kubelet.runtime.interface import ContainerState, Namespace
from kplane.kubelet.sandbox import namespaces
from kplane.kubelet.state import PodState
from kplane.kubelet.status import Circumstances, pod_status
from kplane.kubelet.verdicts import Verdicts
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod

from .support import NODE, hollow_kubelet, pod_of, run_of, state_of, status_of

DEBUG = {"name": "debug", "image": "tools:1", "targetContainerName": "web"}


def debugged(**spec: object) -> Pod:
    return pod_of(ephemeralContainers=[DEBUG], **spec)


def started(pod: Pod, state: PodState) -> list[tuple[str, int]]:
    found = plan(pod, state, Verdicts(), BackOff(), 1000.0)
    return [(order.container.name, order.attempt) for order in found.start]


def test_it_waits_for_the_sandbox() -> None:
    assert started(debugged(), PodState()) == [("web", 0)]


def test_it_starts_beside_what_runs() -> None:
    pod = debugged()
    assert started(pod, state_of(run_of(pod, "web"))) == [("debug", 0)]


def test_it_does_not_wait_for_init_containers() -> None:
    pod = debugged(init=({"name": "init", "image": "i"},))
    assert started(pod, state_of(run_of(pod, "init"))) == [("debug", 0)]


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("state", [ContainerState.RUNNING, ContainerState.EXITED])
def test_it_never_starts_again(state: ContainerState, code: int) -> None:
    pod = debugged()
    assert started(pod, state_of(run_of(pod, "web"), run_of(pod, "debug", state, exit_code=code))) == []


def reported(pod: Pod, state: PodState) -> Object:
    around = Circumstances(
        datetime(2026, 1, 1, tzinfo=UTC), verdicts=Verdicts(), host_ips=(), scheme="containerd"
    )
    return pod_status(pod, state, around, {})


def test_its_status_is_apart_from_the_others() -> None:
    pod = debugged()

    status = reported(pod, state_of(run_of(pod, "web"), run_of(pod, "debug")))

    (debug,) = status["ephemeralContainerStatuses"]
    assert [entry["name"] for entry in status["containerStatuses"]] == ["web"]
    assert (debug["name"], debug["ready"], debug["restartCount"]) == ("debug", False, 0)
    assert "running" in debug["state"]
    assert "started" not in debug


def test_its_end_leaves_the_pod_as_it_was() -> None:
    pod = debugged()

    status = reported(
        pod, state_of(run_of(pod, "web"), run_of(pod, "debug", ContainerState.EXITED, exit_code=3))
    )

    assert status["phase"] == "Running"
    assert status["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_pods_without_any_have_no_such_status() -> None:
    pod = pod_of()
    assert "ephemeralContainerStatuses" not in reported(pod, state_of(run_of(pod, "web")))


@pytest.mark.parametrize(
    ("spec", "pid", "target"),
    [
        pytest.param({}, Namespace.TARGET, "web-0", id="of its own"),
        pytest.param({"shareProcessNamespace": True}, Namespace.POD, "", id="shared"),
        pytest.param({"hostPID": True}, Namespace.NODE, "", id="the node's"),
    ],
)
def test_it_sees_the_processes_of_its_target(spec: Object, pid: Namespace, target: str) -> None:
    found = namespaces(debugged(**spec), "web-0")
    assert (found.pid, found.target) == (pid, target)


def test_events_name_its_field() -> None:
    assert field_path(debugged(), "debug") == "spec.ephemeralContainers{debug}"


async def test_a_running_pod_gets_one(cluster: FakeCluster, tmp_path: Path) -> None:
    def state(name: str) -> str:
        found = status_of(cluster, "web").get("ephemeralContainerStatuses", [])
        return next((next(iter(entry["state"])) for entry in found if entry["name"] == name), "")

    async with hollow_kubelet(cluster, tmp_path):
        cluster.load(make_pod(node=NODE, containers=[{"name": "web", "image": "web:1"}]))
        await cluster.clock.advance_until(
            lambda: status_of(cluster, "web").get("phase") == "Running", limit=60
        )
        lost = DEBUG | {"name": "lost", "targetContainerName": "gone"}
        await cluster.client().patch(
            Pod, "web", "default", {"spec": {"ephemeralContainers": [DEBUG, lost]}},
            subresource="ephemeralcontainers",
        )  # fmt: skip
        await cluster.clock.advance_until(lambda: state("debug") == "running", limit=60)
        await cluster.clock.advance_until(lambda: state("lost") == "waiting", limit=60)

        pod = cluster.get(Pod, Key("default", "web"))
    assert pod is not None
    waiting = pod.status["ephemeralContainerStatuses"][1]["state"]["waiting"]
    assert waiting == {
        "reason": "CreateContainerConfigError",
        "message": "unable to find target container gone",
    }
