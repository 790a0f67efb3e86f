"""What the kubelet decides for a pod, from its spec and what the runtime holds."""

from __future__ import annotations

import pytest

from kplane.kubelet.backoff import BackOff
from kplane.kubelet.plan import Plan, finished, plan
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.interface import ContainerState
from kplane.kubelet.state import PodState
from kplane.kubelet.verdicts import Verdicts

from .support import pod_of, run_of, sandbox, state_of

EXITED = ContainerState.EXITED
NOW = 1000.0

INIT_1 = {"name": "init-1", "image": "i"}
INIT_2 = {"name": "init-2", "image": "i"}
SIDECAR = {"name": "sidecar", "image": "i", "restartPolicy": "Always"}
WEB = {"name": "web", "image": "web:1"}
LOG = {"name": "log", "image": "log:1"}


def planned(
    pod: Pod, state: PodState, verdicts: Verdicts | None = None, backoff: BackOff | None = None
) -> Plan:
    return plan(pod, state, verdicts or Verdicts(), backoff or BackOff(), NOW)


def started(found: Plan) -> list[tuple[str, int]]:
    return [(order.container.name, order.attempt) for order in found.start]


def test_new_pod_gets_a_sandbox_and_all_containers_at_once() -> None:
    found = planned(pod_of(WEB, LOG), PodState())

    assert found.create_sandbox
    assert started(found) == [("web", 0), ("log", 0)]


def test_new_pod_with_init_containers_starts_only_the_first() -> None:
    assert started(planned(pod_of(init=(INIT_1, INIT_2)), PodState())) == [("init-1", 0)]


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        pytest.param(ContainerState.RUNNING, 0, [], id="running"),
        pytest.param(EXITED, 0, [("init-2", 0)], id="succeeded"),
        pytest.param(EXITED, 1, [("init-1", 1)], id="failed"),
    ],
)
def test_init_containers_run_one_after_the_other(
    state: ContainerState, code: int, expected: list[tuple[str, int]]
) -> None:
    pod = pod_of(init=(INIT_1, INIT_2))

    found = planned(pod, state_of(run_of(pod, "init-1", state, exit_code=code)))

    assert started(found) == expected


def test_failed_init_container_of_a_pod_that_never_restarts_ends_the_pod() -> None:
    pod = pod_of(init=(INIT_1,), restartPolicy="Never")
    state = state_of(run_of(pod, "init-1", EXITED, exit_code=1))

    assert planned(pod, state).empty
    assert finished(pod, state) == "Failed"


def test_main_containers_wait_for_a_sidecar_to_have_started() -> None:
    slow = SIDECAR | {"startupProbe": {"exec": {"command": ["true"]}}}
    pod = pod_of(init=(slow,))
    state = state_of(run_of(pod, "sidecar"))

    assert started(planned(pod, state)) == []
    assert started(planned(pod, state, Verdicts({("sidecar-0", "startup"): True}))) == [("web", 0)]


def test_ended_sidecar_restarts_beside_running_main_containers() -> None:
    pod = pod_of(init=(SIDECAR,))
    state = state_of(run_of(pod, "sidecar", EXITED), run_of(pod, "web"))

    assert started(planned(pod, state)) == [("sidecar", 1)]


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [
        pytest.param("Always", 0, True, id="always"),
        pytest.param("OnFailure", 1, True, id="on failure, failed"),
        pytest.param("OnFailure", 0, False, id="on failure, succeeded"),
        pytest.param("Never", 1, False, id="never"),
    ],
)
def test_ended_container_restarts_by_policy(policy: str, code: int, restarted: bool) -> None:
    pod = pod_of(restartPolicy=policy)

    found = planned(pod, state_of(run_of(pod, "web", EXITED, exit_code=code, finished=NOW)))

    assert bool(found.start) is restarted


def test_second_crash_waits_for_the_back_off() -> None:
    pod, backoff = pod_of(), BackOff()
    backoff.next("web", NOW - 4, NOW - 4)
    state = state_of(run_of(pod, "web", EXITED, attempt=1, exit_code=1, finished=NOW - 3))

    found = planned(pod, state, backoff=backoff)

    assert found.empty
    assert found.backing_off == {"web": 7}


@pytest.mark.parametrize("kind", ["liveness", "startup"])
def test_failed_probe_kills_the_container(kind: str) -> None:
    pod = pod_of(WEB | {f"{kind}Probe": {"exec": {"command": ["x"]}, "terminationGracePeriodSeconds": 5}})

    found = planned(pod, state_of(run_of(pod, "web")), Verdicts({("web-0", kind): False}))

    assert [(kill.id, kill.message, kill.grace_seconds) for kill in found.kill] == [
        ("web-0", f"Container web failed {kind} probe, will be restarted", 5)
    ]


def test_changed_image_replaces_the_container() -> None:
    pod = pod_of()
    before = state_of(run_of(pod, "web"))

    found = planned(pod_of(WEB | {"image": "web:2"}), before)

    assert [kill.message for kill in found.kill] == ["Container web definition changed, will be restarted"]


def test_dead_sandbox_is_replaced_and_restart_counts_go_on() -> None:
    pod = pod_of()
    state = state_of(run_of(pod, "web", EXITED, attempt=2, exit_code=137), box=sandbox(ready=False))

    found = planned(pod, state)

    assert (found.create_sandbox, found.attempt) == (True, 1)
    assert started(found) == [("web", 3)]


def test_dead_sandbox_of_a_pod_that_never_restarts_stays_dead() -> None:
    pod = pod_of(restartPolicy="Never")
    state = state_of(run_of(pod, "web", EXITED, exit_code=137), box=sandbox(ready=False))

    assert planned(pod, state).empty


@pytest.mark.parametrize(
    ("policy", "codes", "expected"),
    [
        pytest.param("Never", (0, 0), "Succeeded", id="all succeeded"),
        pytest.param("Never", (0, 1), "Failed", id="one failed"),
        pytest.param("OnFailure", (0, 1), "", id="one will run again"),
        pytest.param("Always", (0, 0), "", id="always"),
    ],
)
def test_pod_is_finished_when_nothing_will_run_again(
    policy: str, codes: tuple[int, int], expected: str
) -> None:
    pod = pod_of(WEB, LOG, restartPolicy=policy)
    runs = [
        run_of(pod, name, EXITED, exit_code=code) for name, code in zip(("web", "log"), codes, strict=True)
    ]

    assert finished(pod, state_of(*runs)) == expected


def test_container_that_must_be_resized_is_resized_as_it_runs() -> None:
    pod = pod_of(WEB, LOG)

    found = plan(
        pod, state_of(run_of(pod, "web"), run_of(pod, "log")), Verdicts(), BackOff(), NOW, {"web": False}
    )

    assert [(change.id, change.container.name) for change in found.resize] == [("web-0", "web")]
    assert (found.kill, found.start) == ((), ())


@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_resize_that_needs_a_new_start_ends_the_run_and_begins_the_next_at_once(policy: str) -> None:
    pod = pod_of(WEB, restartPolicy=policy)

    found = plan(pod, state_of(run_of(pod, "web")), Verdicts(), BackOff(), NOW, {"web": True})

    assert [(kill.id, kill.message) for kill in found.kill] == [
        ("web-0", "Container web resize requires restart")
    ]
    assert started(found) == [("web", 1)]
