"""HorizontalPodAutoscalers: metrics, behaviour, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
UTILIZATION = {"type": "Utilization", "averageUtilization": 50}
CPU = {"type": "Resource", "resource": {"name": "cpu", "target": UTILIZATION}}
AT = "spec.metrics[0]"


@pytest.fixture
def autoscalers(judge: Any) -> Any:
    return judge("autoscaling", "horizontalpodautoscalers")


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 5, "scaleTargetRef": TARGET} | spec}


def metric(kind: str, **source: Any) -> dict[str, Any]:
    return autoscaler(metrics=[{"type": kind, kind[0].lower() + kind[1:]: source}])


def up(**rules: Any) -> dict[str, Any]:
    return autoscaler(behavior={"scaleUp": rules})


def test_a_behaviour_is_filled_in(autoscalers: Any) -> None:
    made = autoscalers.created(up(selectPolicy="Min"))["spec"]

    assert made["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Min",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }
    assert made["metrics"][0]["resource"]["target"]["averageUtilization"] == 80


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(autoscaler(), id="plain"),
        pytest.param(autoscaler(metrics=[CPU]), id="resource"),
        pytest.param(
            metric("ContainerResource", name="cpu", container="c", target=UTILIZATION), id="container"
        ),
        pytest.param(
            metric("Pods", metric={"name": "m"}, target={"type": "AverageValue", "averageValue": "5"}),
            id="pods",
        ),
        pytest.param(
            metric(
                "Object",
                describedObject=TARGET,
                metric={"name": "m"},
                target={"type": "Value", "value": "5"},
            ),
            id="object",
        ),
        pytest.param(
            metric("External", metric={"name": "m"}, target={"type": "Value", "value": "5"}), id="external"
        ),
        pytest.param(
            autoscaler(
                minReplicas=0,
                metrics=[
                    CPU,
                    {
                        "type": "External",
                        "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "5"}},
                    },
                ],
            ),
            id="to zero",
        ),
        pytest.param(up(stabilizationWindowSeconds=3600), id="behaviour"),
    ],
)
def test_sound_ones_have_no_faults(autoscalers: Any, obj: dict[str, Any]) -> None:
    assert autoscalers.faults(obj) == []


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        (
            autoscaler(minReplicas=-1),
            "spec.minReplicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            autoscaler(minReplicas=6),
            "spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`",
        ),
        (autoscaler(scaleTargetRef={"kind": "a/b", "name": "x"}),
            "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'"),
        (autoscaler(metrics=[{}]), f"{AT}.type: Required value: must specify a metric source type"),
        (
            autoscaler(metrics=[{"type": "Odd"}]),
            f'{AT}.type: Unsupported value: "Odd": supported values: "ContainerResource", "External",'
            ' "Object",'
            ' "Pods", "Resource"',
        ),
        (
            autoscaler(metrics=[{"type": "Pods"}]),
            f"{AT}.pods: Required value: must populate information for the given metric source",
        ),
        (
            autoscaler(metrics=[CPU | {"pods": {"metric": {"name": "m"}}}]),
            f"{AT}.pods: Forbidden: must populate the given metric source only",
        ),
        (metric("Resource", target=UTILIZATION),
            f"{AT}.resource.name: Required value: must specify a resource name"),
        (
            metric("Resource", name="cpu", target={"type": "Utilization"}),
            f"{AT}.resource.target.averageUtilization: Required value: must set either a target raw value"
            " or a"
            " target utilization",
        ),
        (
            metric("Resource", name="cpu", target=UTILIZATION | {"averageValue": "1"}),
            f"{AT}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target"
            " utilization",
        ),
        (
            metric("Resource", name="cpu", target={"type": "Utilization", "averageUtilization": 0}),
            f"{AT}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        ),
        (
            metric("ContainerResource", name="cpu", target=UTILIZATION),
            f"{AT}.containerResource.container: Required value: must specify a container",
        ),
        (
            metric("Pods", metric={"name": "m"}, target={"type": "AverageValue"}),
            f"{AT}.pods.target.averageValue: Required value: must specify a positive target averageValue",
        ),
        (
            metric("External", metric={}, target={"type": "Value", "value": "-1"}),
            f"{AT}.external.metric.name: Required value: must specify a metric name",
        ),
        (
            metric("External", metric={"name": "m"}, target={"type": "Value", "value": "0"}),
            f'{AT}.external.target.value: Invalid value: "0": must be positive',
        ),
        (
            metric("Object", describedObject=TARGET, metric={"name": "m"}, target={"type": "Odd"}),
            f'{AT}.object.target.type: Invalid value: "Odd": must be either Utilization, Value, or'
            ' AverageValue',
        ),
        (
            up(stabilizationWindowSeconds=3601),
            "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or"
            " equal"
            " to 3600",
        ),
        (
            up(selectPolicy="Odd"),
            'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Odd": supported values: "Disabled",'
            ' "Max",'
            ' "Min"',
        ),
        (up(policies=[]), "spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"),
        (
            up(policies=[{"type": "Pods", "value": 0, "periodSeconds": 1}]),
            "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
        ),
        (
            up(policies=[{"type": "Pods", "value": 1, "periodSeconds": 1801}]),
            "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal"
            " to 1800",
        ),
    ],
)  # fmt: skip
def test_faults_are_worded_as_upstream(autoscalers: Any, obj: dict[str, Any], fault: str) -> None:
    assert fault in autoscalers.faults(obj)


def test_the_first_version_has_one_metric(autoscalers: Any) -> None:
    obj = autoscaler(targetCPUUtilizationPercentage=0) | {"apiVersion": "autoscaling/v1"}

    assert autoscalers.faults(obj) == [
        f"{AT}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0"
    ]
