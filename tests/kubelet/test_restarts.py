"""Which containers run again after which end, and when a pod is over."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.kubelet.plan import finished
from kplane.kubelet.restarts import runs_again
from kplane.kubelet.runtime.interface import ContainerState

from .support import pod_of, run_of, state_of

ON_42 = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
NOT_ON_42 = [{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [42]}}]


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "web", "image": "web:1", **fields}


@pytest.mark.parametrize(
    ("policy", "own", "code", "again"),
    [
        pytest.param("Always", {}, 0, True, id="always"),
        pytest.param("OnFailure", {}, 0, False, id="done"),
        pytest.param("OnFailure", {}, 1, True, id="failed"),
        pytest.param("Never", {}, 1, False, id="never"),
        pytest.param("Never", {"restartPolicy": "OnFailure"}, 1, True, id="own-policy"),
        pytest.param("Always", {"restartPolicy": "Never"}, 1, False, id="own-policy-never"),
        pytest.param("Always", {"restartPolicy": "Never", "restartPolicyRules": ON_42}, 42, True, id="rule"),
        pytest.param(
            "Always", {"restartPolicy": "Never", "restartPolicyRules": ON_42}, 1, False, id="no-rule-for-it"
        ),
        pytest.param(
            "Always", {"restartPolicy": "Never", "restartPolicyRules": NOT_ON_42}, 1, True, id="rule-not-in"
        ),
    ],
)
def test_rules_come_before_the_containers_policy_and_that_before_the_pods(
    policy: str, own: dict[str, Any], code: int, again: bool
) -> None:
    pod = pod_of(container(**own), restartPolicy=policy)
    ended = run_of(pod, "web", ContainerState.EXITED, exit_code=code)

    assert runs_again(pod, pod.spec.containers[0], code) is again
    expected = "" if again else "Failed" if code else "Succeeded"
    assert finished(pod, state_of(ended)) == expected


def test_init_container_that_succeeded_never_runs_again() -> None:
    pod = pod_of(container(), init=({"name": "init", "image": "i"},))
    init = pod.spec.init_containers[0]

    assert not runs_again(pod, init, 0)
    assert runs_again(pod, init, 1)
