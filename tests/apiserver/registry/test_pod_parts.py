"""Parts of pod specs that fewer Pods have: restart rules, operating systems, resources of the whole pod."""

from __future__ import annotations

from typing import Any

import pytest

from .test_pods import pod

RULE = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
TERM = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}


@pytest.fixture
def pods(judge: Any) -> Any:
    return judge("", "pods")


def asking(cpu: str, **spec: Any) -> dict[str, Any]:
    return pod({"resources": {"requests": {"cpu": cpu}}}, **spec)


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(pod({"restartPolicy": "Never", "restartPolicyRules": [RULE]}), id="restart rules"),
        pytest.param(pod(os={"name": "linux"}, hostPID=True), id="linux"),
        pytest.param(
            pod(os={"name": "windows"}, securityContext={"windowsOptions": {"runAsUserName": "a"}}),
            id="windows",
        ),
        pytest.param(asking("1", resources={"requests": {"cpu": "1"}}), id="whole pod"),
    ],
)
def test_sound_ones_have_no_faults(pods: Any, obj: dict[str, Any]) -> None:
    assert pods.faults(obj) == []


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        (
            pod({"restartPolicy": "Odd"}),
            'spec.containers[0].restartPolicy: Unsupported value: "Odd": supported values: "Always", "Never",'
            ' "OnFailure"',
        ),
        (
            pod({"restartPolicyRules": [RULE]}),
            "spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules"
            " are used",
        ),
        (
            pod({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}),
            "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified",
        ),
        (
            pod({"restartPolicy": "Never", "restartPolicyRules": [RULE] * 21}),
            "spec.containers[0].restartPolicyRules: Too many: 21: must have at most 20 items",
        ),
        (
            pod({"restartPolicy": "Never", "restartPolicyRules": [RULE | {"exitCodes": {"operator": "Is"}}]}),
            'spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported'
            ' values: "In", "NotIn"',
        ),
        (
            pod(os={"name": "linux"}, securityContext={"windowsOptions": {"runAsUserName": "a"}}),
            "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod",
        ),
        (
            pod({"securityContext": {"privileged": True}}, os={"name": "windows"}),
            "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
        ),
        (
            pod(os={"name": "windows"}, hostPID=True),
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
        ),
        (
            asking("2", resources={"requests": {"cpu": "1"}}),
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate'
            " container requests of 2",
        ),
        (
            asking(
                "500m",
                resources={"requests": {"cpu": "1"}},
                initContainers=[
                    {
                        "name": "side",
                        "image": "i",
                        "restartPolicy": "Always",
                        "resources": {"requests": {"cpu": "1"}},
                    }
                ],
            ),
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate'
            " container requests of 1500m",
        ),
        (
            pod(
                affinity={
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            TERM | {"matchLabelKeys": ["v"], "mismatchLabelKeys": ["v"]}
                        ]
                    }
                }
            ),
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]:"
            ' Invalid value: "v": exists in both matchLabelKeys and mismatchLabelKeys',
        ),
    ],
)
def test_faults_are_worded_as_upstream(pods: Any, obj: dict[str, Any], fault: str) -> None:
    assert fault in pods.faults(obj)


def test_label_keys_of_a_spread_become_terms_of_its_selector(pods: Any) -> None:
    constraint = TERM | {"maxSkew": 1, "matchLabelKeys": ["version", "absent"]}
    obj = pod(topologySpreadConstraints=[constraint])
    obj["metadata"]["labels"] = {"version": "7"}

    made = pods.created(obj)

    selector = made["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector["matchExpressions"] == [{"key": "version", "operator": "In", "values": ["7"]}]
