"""Autoscalers in both versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kplane.api.conversion.autoscaling import METRICS, to_v1, to_v2

CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}
PODS = {
    "type": "Pods",
    "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "5"}},
}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"},
        "metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
        "target": {"type": "Value", "value": "10"},
    },
}
EXTERNAL = {
    "type": "External",
    "external": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "3"}},
}
CONTAINER = {
    "type": "ContainerResource",
    "containerResource": {
        "name": "cpu", "container": "app", "target": {"type": "Utilization", "averageUtilization": 50},
    },
}  # fmt: skip


def make(version: str, spec: dict[str, Any], **rest: Any) -> dict[str, Any]:
    base = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3}
    return {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": f"autoscaling/{version}",
        "metadata": {"name": "x"},
        "spec": base | spec,
    } | rest


def test_cpu_utilisation_has_a_field_of_its_own_in_v1() -> None:
    first = make("v1", {"targetCPUUtilizationPercentage": 80})
    second = make("v2", {"metrics": [CPU]})

    assert to_v1(second) == first
    assert to_v2(first) == second


def test_what_v1_cannot_say_travels_in_annotations() -> None:
    converted = to_v1(make("v2", {"metrics": [PODS, CPU]}))

    flat = [{"type": "Pods", "pods": {"metricName": "rps", "targetAverageValue": "5"}}]
    assert json.loads(converted["metadata"]["annotations"][METRICS]) == flat
    assert "metrics" not in converted["spec"]


@pytest.mark.parametrize("metric", [MEMORY, PODS, OBJECT, EXTERNAL, CONTAINER, CPU], ids=lambda m: m["type"])
def test_a_metric_survives_the_way_there_and_back(metric: dict[str, Any]) -> None:
    original = make("v2", {"metrics": [metric]})

    assert to_v2(to_v1(original)) == original


def test_behaviour_and_status_survive_the_way_there_and_back() -> None:
    current = {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "1Gi"}}}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}
    original = make(
        "v2",
        {"behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}}},
        metadata={"name": "x", "annotations": {"mine": "kept"}},
        status={
            "currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": [current, cpu],
            "conditions": [{"type": "AbleToScale", "status": "True"}],
        },
    )  # fmt: skip

    there = to_v1(original)

    assert there["status"] == {
        "currentReplicas": 1,
        "desiredReplicas": 2,
        "currentCPUUtilizationPercentage": 7,
    }
    assert to_v2(there) == original


def test_unreadable_annotations_are_dropped() -> None:
    broken = make("v1", {}, metadata={"name": "x", "annotations": {METRICS: "not json"}})

    assert to_v2(broken) == make("v2", {})
