"""RBAC, networking, storage, policies and the small cluster-wide kinds."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.scheme import builtin
from kplane.apiserver.registry.strategies import STRATEGIES

RBAC, NET, STORAGE = "rbac.authorization.k8s.io", "networking.k8s.io", "storage.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
ROLE = {"apiGroup": RBAC, "kind": "Role", "name": "r"}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}}
HOOK = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://a"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
}


def paths(**path: Any) -> dict[str, Any]:
    entry = {"path": "/", "pathType": "Prefix", "backend": BACKEND, **path}
    return {"spec": {"rules": [{"host": "a.b", "http": {"paths": [entry]}}]}}


@pytest.mark.parametrize(
    ("group", "plural", "obj"),
    [
        (RBAC, "roles", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        (RBAC, "clusterroles", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        (RBAC, "rolebindings", {"roleRef": ROLE, "subjects": [{"kind": "User", "name": "u"}]}),
        (NET, "ingresses", paths()),
        (NET, "ingressclasses", {"spec": {"controller": "a.b/c"}}),
        (NET, "networkpolicies", {"spec": {"ingress": [{"from": [{"podSelector": {}}]}]}}),
        (STORAGE, "storageclasses", {"provisioner": "a.b/c"}),
        (STORAGE, "csidrivers", {"metadata": {"name": "d.example.com"}}),
        ("", "persistentvolumeclaims", {"spec": CLAIM}),
        ("", "persistentvolumes", {"spec": VOLUME}),
        ("", "resourcequotas", {"spec": {"hard": {"pods": "5", "requests.cpu": "1", "count/a.b": "1"}}}),
        ("", "limitranges", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}}),
        ("", "serviceaccounts", {}),
        ("policy", "poddisruptionbudgets", {"spec": {"minAvailable": "50%"}}),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            {
                "spec": {
                    "maxReplicas": 2,
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
                }
            },
        ),
        ("scheduling.k8s.io", "priorityclasses", {"value": 5}),
        ("node.k8s.io", "runtimeclasses", {"handler": "runc"}),
        (ADMISSION, "validatingwebhookconfigurations", {"webhooks": [HOOK]}),
        (ADMISSION, "mutatingwebhookconfigurations", {"webhooks": [HOOK]}),
        (
            "apiregistration.k8s.io",
            "apiservices",
            {
                "metadata": {"name": "v1.a.b"},
                "spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1},
            },
        ),
    ],
)
def test_plain_objects_have_no_faults(judge: Any, group: str, plural: str, obj: dict[str, Any]) -> None:
    kind = judge(group, plural)
    stored = kind.created(obj)

    assert kind.faults(obj) == []
    assert kind.update_faults(stored, stored) == []


@pytest.mark.parametrize(
    ("group", "plural", "obj", "fault"),
    [
        (
            RBAC,
            "roles",
            {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            RBAC,
            "roles",
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource'
            " URLs",
        ),
        (
            RBAC,
            "clusterroles",
            {"rules": [{"verbs": ["get"]}]},
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            RBAC,
            "roles",
            {"metadata": {"name": "a/b"}},
            "metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            RBAC,
            "rolebindings",
            {"roleRef": {**ROLE, "kind": "Odd"}},
            'roleRef.kind: Unsupported value: "Odd": supported values: "Role", "ClusterRole"',
        ),
        (
            RBAC,
            "clusterrolebindings",
            {
                "roleRef": {**ROLE, "kind": "ClusterRole"},
                "subjects": [{"kind": "ServiceAccount", "name": "s"}],
            },
            "subjects[0].namespace: Required value",
        ),
        (
            NET,
            "ingresses",
            {"spec": {}},
            "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
        (
            NET,
            "ingresses",
            paths(pathType=None),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            NET,
            "ingresses",
            paths(path="a"),
            'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path',
        ),
        (
            NET,
            "ingresses",
            paths(backend={}),
            'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required',
        ),
        (
            NET,
            "networkpolicies",
            {
                "spec": {
                    "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]
                }
            },
            'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a strict'
            " subset of `cidr`",
        ),
        (NET, "ipaddresses", {"metadata": {"name": "10.0.0.1"}}, "spec.parentRef: Required value"),
        (
            "",
            "persistentvolumeclaims",
            {"spec": {**CLAIM, "accessModes": []}},
            "spec.accessModes: Required value: at least 1 access mode is required",
        ),
        (
            "",
            "persistentvolumeclaims",
            {"spec": {**CLAIM, "resources": {}}},
            "spec.resources[storage]: Required value",
        ),
        (
            "",
            "persistentvolumes",
            {"spec": {**VOLUME, "nfs": {}}},
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ),
        (STORAGE, "storageclasses", {}, "provisioner: Required value"),
        (
            "",
            "resourcequotas",
            {"spec": {"hard": {"odd": "1"}}},
            'spec.hard[odd]: Invalid value: "odd": must be a standard resource for quota',
        ),
        (
            "",
            "limitranges",
            {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}},
            'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        ),
        (
            "policy",
            "poddisruptionbudgets",
            {"spec": {"minAvailable": 1, "maxUnavailable": 1}},
            'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
            '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set',
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            {
                "spec": {
                    "minReplicas": 3,
                    "maxReplicas": 2,
                    "scaleTargetRef": {"apiVersion": "a/v1", "kind": "D", "name": "d"},
                }
            },
            "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
        ),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            {"value": 2_000_000_000},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            ADMISSION,
            "validatingwebhookconfigurations",
            {"webhooks": [{**HOOK, "sideEffects": "Some"}]},
            'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        ),
        (
            ADMISSION,
            "validatingwebhookconfigurations",
            {"webhooks": [{**HOOK, "name": "a"}]},
            'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments'
            " separated by dots",
        ),
    ],
)
def test_faults_are_worded_as_upstream(
    judge: Any, group: str, plural: str, obj: dict[str, Any], fault: str
) -> None:
    assert fault in judge(group, plural).faults(obj)


@pytest.mark.parametrize(
    ("group", "plural", "obj", "change", "fault"),
    [
        (
            RBAC,
            "rolebindings",
            {"roleRef": ROLE},
            {"roleRef": {**ROLE, "name": "q"}},
            f'roleRef: Invalid value: {{"APIGroup":"{RBAC}","Kind":"Role","Name":"q"}}: cannot change'
            " roleRef",
        ),
        (
            "",
            "persistentvolumeclaims",
            {"spec": CLAIM},
            {"spec": {**CLAIM, "accessModes": ["ReadOnlyMany"]}},
            "spec: Forbidden: spec is immutable after creation except resources.requests and"
            " volumeAttributesClassName for bound claims",
        ),
        (
            "",
            "persistentvolumes",
            {"spec": VOLUME},
            {"spec": {**VOLUME, "hostPath": {"path": "/e"}}},
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
        ),
        (
            STORAGE,
            "storageclasses",
            {"provisioner": "a"},
            {"provisioner": "b"},
            "provisioner: Forbidden: updates to provisioner are forbidden.",
        ),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            {"value": 1},
            {"value": 2},
            "value: Forbidden: may not be changed in an update.",
        ),
        (
            "node.k8s.io",
            "runtimeclasses",
            {"handler": "a"},
            {"handler": "b"},
            'handler: Invalid value: "b": field is immutable',
        ),
    ],
)
def test_what_may_not_change(
    judge: Any, group: str, plural: str, obj: dict[str, Any], change: dict[str, Any], fault: str
) -> None:
    kind = judge(group, plural)
    old = kind.created(obj)

    assert kind.update_faults({**old, **change}, old) == [fault]


def test_every_stored_kind_has_a_strategy_with_its_subresources() -> None:
    for row in builtin().rows.values():
        if "list" not in row.verbs or row.plural == "componentstatuses":
            continue
        strategy = STRATEGIES[row.group, row.plural]
        ours = {sub.name for sub in strategy.subresources}
        assert ("status" in ours) is (row.subresource("status") is not None), row.plural


def test_what_is_selectable_has_a_value() -> None:
    blank = {"metadata": {"name": "x"}, "spec": {}, "status": {}}
    for (_, plural), strategy in STRATEGIES.items():
        assert set(strategy.selectable) <= set(strategy.fields(blank)), plural
