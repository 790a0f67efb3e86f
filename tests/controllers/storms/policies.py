"""Stories of limits and rules: budgets, quotas, scales, and what is computed for policies."""

from __future__ import annotations

from typing import Any

from kplane.api.resource import Key, Object
from kplane.api.scheme import builtin
from kplane.api.types import Pod
from kplane.api.types.policy import PodDisruptionBudget
from kplane.client.transport import Transport
from kplane.controllers.clusterroleaggregation import ROLES
from kplane.controllers.horizontalpodautoscaler.views import HorizontalPodAutoscaler
from kplane.controllers.validatingadmissionpolicystatus import POLICIES
from kplane.testing.autoscaling import FakeMetrics
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, make_object, make_pod, make_pods, make_replicaset

from .scenario import Scenario

QUOTAS = builtin().rows["", "v1", "resourcequotas"].resource


def _budget() -> Object:
    status = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    spec = {"selector": {"matchLabels": dict(APP)}, "minAvailable": 2}
    return make_object("policy/v1", "PodDisruptionBudget", "web", "default", spec=spec, status=status)


def _guarded() -> list[Object]:
    owner = make_replicaset(replicas=5)
    return [_budget(), owner, *make_pods(5, owner=owner, ready=True)]


def _lose_pods(cluster: FakeCluster, step: int) -> None:
    if step in (1, 3):
        cluster.delete(Pod, Key("default", f"web-{step}"))


def _allowance(cluster: FakeCluster) -> Any:
    [found] = cluster.list(PodDisruptionBudget)
    status = found.status
    return status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed


DISRUPTION = Scenario(
    controllers=["disruption-controller"],
    objects=_guarded,
    world=_lose_pods,
    outcome=_allowance,
    expected=(3, 2, 3, 1),
)


def _quota() -> Object:
    hard = {"pods": "9", "requests.cpu": "9"}
    return make_object("v1", "ResourceQuota", "quota", "default", spec={"hard": hard})


def _come_and_go(cluster: FakeCluster, step: int) -> None:
    if step < 5:
        cluster.load(make_pod(f"web-{step}", requests={"cpu": "500m"}))
    if step in (3, 4):
        cluster.delete(Pod, Key("default", f"web-{step - 3}"))


QUOTA = Scenario(
    controllers=["resourcequota-controller"],
    objects=lambda: [_quota()],
    world=_come_and_go,
    outcome=lambda cluster: [found["status"]["used"] for found in cluster.list(QUOTAS)],
    expected=[{"pods": "3", "requests.cpu": "1500m"}],
    pace=60,
)


def _scaler() -> Object:
    target = {"type": "AverageValue", "averageValue": "500m"}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return make_object("autoscaling/v2", "HorizontalPodAutoscaler", "web", "default", spec=spec, status={})


def _busy_pods() -> list[Object]:
    old = "2020-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": old}
    status = {"phase": "Running", "startTime": old, "conditions": [ready]}
    return [make_pod(f"web-{number}", requests={"cpu": "1"}) | {"status": status} for number in range(3)]


def _metrics(cluster: FakeCluster) -> Transport:
    """Three Pods, each with double the load that it should have."""
    metrics = FakeMetrics(cluster)
    metrics.set_scale(3)
    metrics.set_usage({f"web-{number}": {"web": "1"} for number in range(3)})
    return metrics


AUTOSCALING = Scenario(
    controllers=["horizontal-pod-autoscaler-controller"],
    objects=lambda: [_scaler(), *_busy_pods()],
    front=_metrics,
    outcome=lambda cluster: [
        found.status.desired_replicas for found in cluster.list(HorizontalPodAutoscaler)
    ],
    expected=[6],
    pace=30,
)

READ: Object = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
WRITE: Object = {"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}


def _role(name: str, *rules: Object) -> Object:
    return make_object(ROLES.api_version, "ClusterRole", name, labels={"to": "edit"}, rules=list(rules))


def _edit() -> Object:
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"to": "edit"}}]}
    return make_object(ROLES.api_version, "ClusterRole", "edit", aggregationRule=selectors, rules=[])


def _add_role(cluster: FakeCluster, step: int) -> None:
    if step == 3:
        cluster.load(_role("write", WRITE))


AGGREGATION = Scenario(
    controllers=["clusterrole-aggregation-controller"],
    objects=lambda: [_edit(), _role("read", READ)],
    world=_add_role,
    outcome=lambda cluster: [
        found["rules"] for found in cluster.list(ROLES.as_type(dict)) if found["metadata"]["name"] == "edit"
    ],
    expected=[[READ, WRITE]],
)


def _policy(name: str, expression: str) -> Object:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}
    return make_object(POLICIES.api_version, POLICIES.kind, name, spec=spec)


def _warned(cluster: FakeCluster) -> Any:
    return {
        found["metadata"]["name"]: (
            found["status"]["observedGeneration"],
            len(found["status"]["typeChecking"].get("expressionWarnings", ())),
        )
        for found in cluster.list(POLICIES.as_type(dict))
    }


POLICY_STATUS = Scenario(
    controllers=["validatingadmissionpolicy-status-controller"],
    objects=lambda: [
        _policy("right", "object.spec.replicas > 1"), _policy("wrong", "object.spec.replica > 1"),
    ],
    outcome=_warned,
    expected={"right": (1, 0), "wrong": (1, 1)},
    steps=4,
)  # fmt: skip

STORIES = {
    "disruption": DISRUPTION,
    "quota": QUOTA,
    "autoscaling": AUTOSCALING,
    "role aggregation": AGGREGATION,
    "policy status": POLICY_STATUS,
}
