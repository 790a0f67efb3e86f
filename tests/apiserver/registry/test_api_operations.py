"""Every kind's life over HTTP: what the conformance tests named "should support … API operations" do.

Discovery, create, get, list here and everywhere, watch, patch, update, the status subresource, delete, and
deletion of a collection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig

from ..conftest import Api
from .test_certificates import csr

MERGE = "application/merge-patch+json"
LABELS = {"special": "e2e"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
SELECTOR = {"matchLabels": LABELS}
WORKLOAD = {"spec": {"selector": SELECTOR, "template": TEMPLATE}}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}  # type: ignore[dict-item]
DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}]}}
WEBHOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://a.example.com"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [{"apiGroups": ["none"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["n"]}],
}  # fmt: skip
POLICY = {
    "spec": {
        "failurePolicy": "Ignore",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": ["none"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["n"]}
            ]
        },
        "validations": [{"expression": "true"}],
    }
}
MUTATION = {
    "spec": {
        "reinvocationPolicy": "Never",
        "matchConstraints": POLICY["spec"]["matchConstraints"],
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {
                    "expression": 'Object{metadata: Object.metadata{annotations: {"a": "b"}}}'
                },
            }
        ],
    }
}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
CONDITION = {
    "type": "StatusUpdate",
    "status": "True",
    "reason": "E2E",
    "message": "Set from e2e test",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
REPLICAS = {"replicas": 0, "conditions": [{"type": "E2E", "status": "True", "reason": "E2E", "message": "m"}]}

KINDS: list[tuple[str, str, str, dict[str, Any], dict[str, Any] | None]] = [
    ("api/v1", "configmaps", "ns", {"data": {"a": "b"}}, None),
    ("api/v1", "secrets", "ns", {"stringData": {"a": "b"}}, None),
    ("api/v1", "serviceaccounts", "ns", {}, None),
    ("api/v1", "services", "ns", {"spec": {"ports": [{"port": 80}]}}, {"conditions": [CONDITION]}),
    ("api/v1", "endpoints", "ns", {"subsets": []}, None),
    ("api/v1", "events", "ns", {"involvedObject": {"namespace": "default"}, "reason": "E2E"}, None),
    ("api/v1", "limitranges", "ns", {"spec": {"limits": [{"type": "Container"}]}}, None),
    ("api/v1", "persistentvolumeclaims", "ns", {"spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}, {"phase": "Lost"}),
    ("api/v1", "podtemplates", "ns", {"template": TEMPLATE}, None),
    ("api/v1", "replicationcontrollers", "ns", {"spec": {"template": TEMPLATE}}, REPLICAS),
    ("api/v1", "resourcequotas", "ns", {"spec": {"hard": {"cpu": "1"}}}, {"hard": {"cpu": "1"}}),
    ("api/v1", "pods", "ns", {"spec": TEMPLATE["spec"]}, {"message": "E2E"}),
    ("api/v1", "nodes", "", {}, {"phase": "Running"}),
    ("api/v1", "persistentvolumes", "", {"spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}}}, {"reason": "E2E"}),
    ("apis/apps/v1", "controllerrevisions", "ns", {"revision": 1, "data": {}}, None),
    ("apis/apps/v1", "daemonsets", "ns", WORKLOAD, {"numberMisscheduled": 1}),
    ("apis/apps/v1", "deployments", "ns", WORKLOAD, {"observedGeneration": 1}),
    ("apis/apps/v1", "replicasets", "ns", WORKLOAD, REPLICAS),
    ("apis/apps/v1", "statefulsets", "ns", WORKLOAD, {"replicas": 0, "observedGeneration": 1}),
    ("apis/autoscaling/v1", "horizontalpodautoscalers", "ns", {"spec": {"maxReplicas": 2,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
        {"desiredReplicas": 2}),
    ("apis/autoscaling/v2", "horizontalpodautoscalers", "ns", {"spec": {"maxReplicas": 2,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}},
        {"desiredReplicas": 2}),
    ("apis/batch/v1", "cronjobs", "ns", {"spec": {"schedule": "* * * * *", "jobTemplate": {
        "spec": {"template": ONCE}}}}, {"lastScheduleTime": "2026-01-01T00:00:00Z"}),
    ("apis/batch/v1", "jobs", "ns", {"spec": {"template": ONCE}}, {"active": 1}),
    ("apis/certificates.k8s.io/v1", "certificatesigningrequests", "", {}, {}),
    ("apis/coordination.k8s.io/v1", "leases", "ns", {"spec": {"holderIdentity": "a"}}, None),
    ("apis/discovery.k8s.io/v1", "endpointslices", "ns", {"addressType": "IPv4", "endpoints": []}, None),
    ("apis/events.k8s.io/v1", "events", "ns", {"regarding": {"namespace": "default"}, "reason": "E2E",
        "eventTime": "2026-01-01T00:00:00.000000Z", "action": "a", "reportingController": "e2e",
        "reportingInstance": "i", "type": "Normal"}, None),
    ("apis/flowcontrol.apiserver.k8s.io/v1", "flowschemas", "", {"spec": {"matchingPrecedence": 10000,
        "priorityLevelConfiguration": {"name": "global-default"}}},
        {"conditions": [{**CONDITION, "type": "Dangling"}]}),
    ("apis/flowcontrol.apiserver.k8s.io/v1", "prioritylevelconfigurations", "", {"spec": {"type": "Limited",
        "limited": {"limitResponse": {"type": "Reject"}}}}, {"conditions": [{**CONDITION, "type": "E2E"}]}),
    ("apis/networking.k8s.io/v1", "ingressclasses", "", {"spec": {"controller": "example.com/c"}}, None),
    ("apis/networking.k8s.io/v1", "ingresses", "ns", {"spec": {"defaultBackend": {"service": {
        "name": "a", "port": {"number": 80}}}}}, {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}}),
    ("apis/networking.k8s.io/v1", "networkpolicies", "ns", {"spec": {"podSelector": {}}}, None),
    ("apis/networking.k8s.io/v1", "servicecidrs", "", {"spec": {"cidrs": ["10.200.0.0/24"]}},
        {"conditions": [CONDITION]}),
    ("apis/node.k8s.io/v1", "runtimeclasses", "", {"handler": "h"}, None),
    ("apis/policy/v1", "poddisruptionbudgets", "ns", {"spec": {"minAvailable": 1, "selector": SELECTOR}},
        {"currentHealthy": 1}),
    ("apis/rbac.authorization.k8s.io/v1", "clusterroles", "", {"rules": []}, None),
    ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", "", {"roleRef": ROLE_REF}, None),
    ("apis/rbac.authorization.k8s.io/v1", "roles", "ns", {"rules": []}, None),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings", "ns", {"roleRef": ROLE_REF}, None),
    ("apis/resource.k8s.io/v1", "deviceclasses", "", {"spec": {"selectors": [{"cel": {
        "expression": 'device.driver == "gpu.example.com"'}}]}}, None),
    ("apis/resource.k8s.io/v1", "resourceclaims", "ns", {"spec": DEVICES},
        {"allocation": {"allocationTimestamp": "2026-01-01T00:00:00Z"}}),
    ("apis/resource.k8s.io/v1", "resourceclaimtemplates", "ns", {"spec": {"spec": DEVICES}}, None),
    ("apis/resource.k8s.io/v1", "resourceslices", "", {"spec": {"driver": "gpu.example.com",
        "nodeName": "n", "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1}}}, None),
    ("apis/scheduling.k8s.io/v1", "priorityclasses", "", {"value": 10}, None),
    ("apis/storage.k8s.io/v1", "csidrivers", "", {"spec": {}}, None),
    ("apis/storage.k8s.io/v1", "csinodes", "", {"spec": {"drivers": []}}, None),
    ("apis/storage.k8s.io/v1", "csistoragecapacities", "ns", {"storageClassName": "fast"}, None),
    ("apis/storage.k8s.io/v1", "storageclasses", "", {"provisioner": "example.com/p"}, None),
    ("apis/storage.k8s.io/v1", "volumeattachments", "", {"spec": {"attacher": "example.com", "nodeName": "n",
        "source": {"persistentVolumeName": "p"}}}, {"attached": True}),
    ("apis/storage.k8s.io/v1", "volumeattributesclasses", "", {"driverName": "example.com",
        "parameters": {"a": "b"}}, None),
    ("apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "",
        {"webhooks": [WEBHOOK]}, None),
    ("apis/admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "",
        {"webhooks": [WEBHOOK]}, None),
    ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "", POLICY,
        {"conditions": [CONDITION]}),
    ("apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicies", "", MUTATION, None),
    ("apis/admissionregistration.k8s.io/v1", "mutatingadmissionpolicybindings", "",
        {"spec": {"policyName": "p"}}, None),
    ("apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", "",
        {"spec": {"policyName": "p", "validationActions": ["Deny"]}}, None),
]  # fmt: skip


@pytest.fixture
def config(config: ApiServerConfig) -> ApiServerConfig:
    """Of a server that does not write the status of flow schemas: every change is the test's."""
    return replace(config, enable_priority_and_fairness=False)


@pytest.mark.parametrize(
    ("group", "plural", "scope", "body", "status"),
    [pytest.param(*kind, id=f"{kind[0]}/{kind[1]}") for kind in KINDS],
)
async def test_api_operations(
    api: Api, group: str, plural: str, scope: str, body: dict[str, Any], status: dict[str, Any] | None
) -> None:
    everywhere = f"/{group}/{plural}"
    here = f"/{group}/namespaces/default/{plural}" if scope else everywhere
    if plural == "certificatesigningrequests":
        body = {"spec": csr()["spec"]}
    await discovered(api, group, plural, status)

    made = [await api.make(here, {**body, "metadata": name}) for name in names(plural)]
    since = (await api("GET", here)).body["metadata"]["resourceVersion"]
    one = made[0]["metadata"]["name"]
    got = (await api("GET", f"{here}/{one}")).body
    assert got["metadata"]["uid"] == made[0]["metadata"]["uid"]
    for path in (here, everywhere):
        listed = (await api("GET", path, labelSelector="special=e2e")).body["items"]
        assert len(listed) == 3

    patched = await api(
        "PATCH", f"{here}/{one}", {"metadata": {"annotations": {"patched": "true"}}}, content_type=MERGE
    )
    assert patched.body["metadata"]["annotations"]["patched"] == "true"
    patched.body["metadata"]["annotations"]["updated"] = "true"
    updated = await api("PUT", f"{here}/{one}", patched.body)
    assert (updated.code, updated.body["metadata"]["annotations"]["updated"]) == (200, "true")
    # What protects storage in use shows each deletion before it happens.
    changes = 2 if not plural.startswith("persistentvolume") else 5
    if status is not None:
        changes += await status_written(api, f"{here}/{one}", status)
    await removed(api, here, one)

    kinds = [
        event["type"]
        for event in await api.events(
            here, changes + 3, resourceVersion=since, labelSelector="special=e2e", allowWatchBookmarks="false"
        )
    ]
    assert [kind for kind in kinds if kind == "DELETED"] == ["DELETED"] * 3
    assert kinds.count("MODIFIED") >= 2


def names(plural: str) -> list[dict[str, Any]]:
    domain = "" if plural in ("services", "statefulsets") else ".example.com"
    return [{"name": f"e2e-{letter}{domain}", "labels": LABELS} for letter in "abc"]


async def discovered(api: Api, group: str, plural: str, status: Any) -> None:
    resources = {entry["name"]: entry for entry in (await api("GET", f"/{group}")).body["resources"]}
    assert {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} <= {
        *resources[plural]["verbs"]
    }
    assert (f"{plural}/status" in resources) == (status is not None)


async def status_written(api: Api, path: str, status: dict[str, Any]) -> int:
    """Patch and update of the status; how many times the object changed."""
    shown = await api("GET", f"{path}/status")
    assert shown.code == 200
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
    patched = await api("PATCH", f"{path}/status", patch, content_type=MERGE)
    assert patched.code == 200, patched.body
    assert patched.body["metadata"]["annotations"]["patchedstatus"] == "true"
    for name, value in status.items():
        assert patched.body["status"][name] == value
    updated = await api("PUT", f"{path}/status", patched.body)
    assert (updated.code, updated.body.get("status")) == (200, patched.body.get("status"))
    return 1


async def removed(api: Api, here: str, one: str) -> None:
    """One by name, the others as a collection."""
    options = {"propagationPolicy": "Background", "gracePeriodSeconds": "0"}
    assert (await api("DELETE", f"{here}/{one}", **options)).code == 200
    await unblocked(api, here)
    assert (await api("GET", f"{here}/{one}")).code == 404
    collection = await api("DELETE", here, labelSelector="special=e2e", **options)
    assert collection.code == 200
    await unblocked(api, here)
    assert (await api("GET", here, labelSelector="special=e2e")).body["items"] == []


async def unblocked(api: Api, here: str) -> None:
    """What protects storage from deletion is taken off, as its controller would."""
    for item in (await api("GET", here, labelSelector="special=e2e")).body["items"]:
        if item["metadata"].get("deletionTimestamp"):
            patch = {"metadata": {"finalizers": None}}
            await api("PATCH", f"{here}/{item['metadata']['name']}", patch, content_type=MERGE)
