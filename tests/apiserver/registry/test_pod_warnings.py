"""What users are warned of in pods and in the templates of workloads."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.field import Path
from kplane.apiserver.registry.podspec.warnings import pod_warnings

from ..conftest import Api, configmap, deployment, pod

MERGE = "application/merge-patch+json"
CONTAINER = {"name": "c", "image": "i"}
FRACTION = 'fractional byte value "1500m" is invalid, must be an integer'
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
NO_SELECTOR = "a null labelSelector results in matching no pod"
ZONE = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'


def container(**more: Any) -> dict[str, Any]:
    return {"containers": [CONTAINER | more]}


def ports(*listed: dict[str, Any]) -> dict[str, Any]:
    return container(ports=[{"containerPort": 80, "protocol": "TCP"} | port for port in listed])


def environment(*listed: dict[str, Any]) -> dict[str, Any]:
    return container(env=[{"name": "A"} | variable for variable in listed])


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        pytest.param(
            {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; "
            'use "kubernetes.io/os" instead',
            id="node-selector",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {REQUIRED: {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": OLD_ZONE, "operator": "Exists"}]}]}}}},
            f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
            f"{OLD_ZONE} is {ZONE}",
            id="node-affinity",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {
                "matchExpressions": [{"key": OLD_ZONE, "operator": "Exists"}]}}]}}},
            f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: "
            f"{OLD_ZONE} is {ZONE}",
            id="preferred-node-affinity",
        ),
        pytest.param(
            {"topologySpreadConstraints": [{"topologyKey": OLD_ZONE, "labelSelector": {}}]},
            f"spec.topologySpreadConstraints[0].topologyKey: {OLD_ZONE} is {ZONE}",
            id="spread-key",
        ),
        pytest.param(
            {"topologySpreadConstraints": [{"topologyKey": "zone"}]},
            f"spec.topologySpreadConstraints[0].labelSelector: {NO_SELECTOR}",
            id="spread-selector",
        ),
        pytest.param(
            {"affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": "zone"}]}}},
            f"spec.affinity.podAntiAffinity.{REQUIRED}[0].labelSelector: "
            f"{NO_SELECTOR}",
            id="pod-affinity",
        ),
        pytest.param(
            {"affinity": {"podAffinity": {PREFERRED: [{"podAffinityTerm": {"topologyKey": "zone"}}]}}},
            f"spec.affinity.podAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: "
            f"{NO_SELECTOR}",
            id="preferred-pod-affinity",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "glusterfs": {}}]},
            "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
            id="volume",
        ),
        pytest.param(
            {"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]},
            'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
            id="host-alias",
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            id="pull-secret",
        ),
        pytest.param(
            {"imagePullSecrets": [{}]}, 'spec.imagePullSecrets[0].name: invalid empty name ""', id="no-name"
        ),
        pytest.param({"overhead": {"memory": "1500m"}}, f"spec.overhead[memory]: {FRACTION}", id="overhead"),
        pytest.param(
            container(resources={"limits": {"memory": "1500m", "cpu": "1500m"}}),
            f"spec.containers[0].resources.limits[memory]: {FRACTION}",
            id="limit",
        ),
        pytest.param(
            container(resources={"requests": {"ephemeral-storage": "1500m"}}),
            f"spec.containers[0].resources.requests[ephemeral-storage]: {FRACTION}",
            id="request",
        ),
        pytest.param(
            environment({"value": "1"}, {"value": "2"}),
            'spec.containers[0].env[1]: hides previous definition of "A", '
            "which may be dropped when using apply",
            id="variable",
        ),
        pytest.param(
            ports({}, {"name": "again"}),
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
            id="port",
        ),
        pytest.param(
            ports({"hostPort": 80}, {}),
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
            id="overlap",
        ),
        pytest.param(
            ports({"hostPort": 80}, {"hostPort": 80, "hostIP": "10.0.0.1"}),
            "spec.containers[0].ports[1]: dangerously ambiguous port definition with "
            "spec.containers[0].ports[0]",
            id="ambiguous",
        ),
        pytest.param(
            ports({"hostIP": "10.0.0.1"}),
            "spec.containers[0].ports[0]: hostIP set without hostPort: "
            "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
            id="host-ip",
        ),
        pytest.param(
            {"terminationGracePeriodSeconds": -1},
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
            "treated as 1",
            id="grace",
        ),
    ],
)  # fmt: skip
def test_doubtful_pods_are_warned_of(spec: dict[str, Any], warning: str) -> None:
    assert list(pod_warnings({"metadata": {}, "spec": container() | spec}, Path())) == [warning]


def test_annotations_that_do_nothing_any_more_are_warned_of() -> None:
    metadata = {"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}}

    assert list(pod_warnings({"metadata": metadata, "spec": container()}, Path())) == [
        "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
        'use the "priorityClassName" field instead'
    ]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(environment({"value": "1"}, {"value": "$(A)2"}), id="builds-on-the-first"),
        pytest.param(ports({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 81}), id="ports"),
        pytest.param(
            container(resources={"limits": {"cpu": "1500m", "memory": "1Gi"}}), id="fraction-of-cpu"
        ),
    ],
)
def test_sound_pods_are_not(spec: dict[str, Any]) -> None:
    assert list(pod_warnings({"metadata": {}, "spec": spec}, Path())) == []


async def test_templates_are_warned_of_when_they_are_made_and_when_they_change(api: Api) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    doubtful = deployment()
    doubtful["spec"]["template"]["spec"]["nodeSelector"] = {"beta.kubernetes.io/os": "linux"}
    text = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14"

    made = await api("POST", path, doubtful)
    scaled = await api("PATCH", f"{path}/web", {"spec": {"replicas": 3}}, content_type=MERGE)
    labelled = await api("PATCH", f"{path}/web", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)

    assert text in made.headers["warning"]
    assert text in scaled.headers["warning"]
    assert "warning" not in labelled.headers


async def test_pods_are_warned_of_when_they_are_made_only(api: Api) -> None:
    path = "/api/v1/namespaces/default/pods"
    made = await api("POST", path, pod(nodeSelector={"beta.kubernetes.io/os": "linux"}))
    image = {"spec": {"containers": [{"name": "c", "image": "web:2"}]}}
    changed = await api("PATCH", f"{path}/web", image, content_type="application/strategic-merge-patch+json")

    assert "beta.kubernetes.io/os" in made.headers["warning"]
    assert changed.code == 200
    assert "warning" not in changed.headers


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "/api/v1/namespaces/default/endpoints",
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
        ("/api/v1/componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"),
    ],
)
async def test_deprecated_resources_say_so_to_every_request(api: Api, path: str, text: str) -> None:
    assert (await api("GET", path)).headers["warning"] == f'299 - "{text}"'


async def test_other_resources_do_not_warn(api: Api) -> None:
    answer = await api("POST", "/api/v1/namespaces/default/configmaps", configmap())

    assert "warning" not in answer.headers
