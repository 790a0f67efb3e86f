"""The flow schemas and priority levels that every cluster has: the mandatory ones and the suggested ones.

Values and names: upstream's `apis/flowcontrol/bootstrap/default.go`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.resource import Object

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
"""The annotation of those that the server brings back to what is suggested."""
MANDATORY = ("exempt", "catch-all")
_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_ALL = [{
    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True,
}]  # fmt: skip
_ALL_PATHS = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
_BY_USER, _BY_NAMESPACE = "ByUser", "ByNamespace"


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response,
    }  # fmt: skip
    return _named(name, {"type": "Limited", "limited": limited})


def _schema(name: str, level: str, precedence: int, method: str, rule: Object) -> Object:
    spec: Object = {
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    }  # fmt: skip
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return _named(name, spec)


def _named(name: str, spec: Object) -> Object:
    return {"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [
        {"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}}
        for name in names
    ]


def _everything(*subjects: Object) -> Object:
    return {"subjects": [*subjects], "resourceRules": _ALL, "nonResourceRules": _ALL_PATHS}


def _rule(verbs: str, group: str, resources: str, *, cluster: bool = False) -> Object:
    scope = {"clusterScope": True} if cluster else {}
    found = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**found, **scope, "namespaces": ["*"]}


_LEASES = _rule("get create update", "coordination.k8s.io", "leases")

MANDATORY_LEVELS: Sequence[Object] = (
    _named("exempt", {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}),
    _level("catch-all", 5, 0),
)
MANDATORY_SCHEMAS: Sequence[Object] = (
    _schema("exempt", "exempt", 1, "", _everything(*_groups("system:masters"))),
    _schema("catch-all", "catch-all", 10000, _BY_USER, _everything(*_groups(*_EVERYBODY))),
)
LEVELS: Sequence[Object] = (
    *MANDATORY_LEVELS,
    _level("system", 30, 33, 64, 6),
    _level("node-high", 40, 25, 64, 6),
    _level("leader-election", 10, 0, 16, 4),
    _level("workload-high", 40, 50, 128, 6),
    _level("workload-low", 100, 90, 128, 6),
    _level("global-default", 20, 50, 128, 6),
)
SCHEMAS: Sequence[Object] = (
    *MANDATORY_SCHEMAS,
    _schema("system-nodes", "system", 500, _BY_USER, _everything(*_groups("system:nodes"))),
    _schema("system-node-high", "node-high", 400, _BY_USER, {
        "subjects": _groups("system:nodes"),
        "resourceRules": [
            _rule("*", "", "nodes nodes/status", cluster=True), _rule("*", "coordination.k8s.io", "leases"),
        ],
    }),
    _schema("probes", "exempt", 2, "", {
        "subjects": _groups(*_EVERYBODY),
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    }),
    _schema("system-leader-election", "leader-election", 100, _BY_USER, {
        "subjects": [
            *_users("system:kube-controller-manager", "system:kube-scheduler"), *_accounts("*"),
        ],
        "resourceRules": [_LEASES],
    }),
    _schema("workload-leader-election", "leader-election", 200, _BY_USER, {
        "subjects": _accounts("*"), "resourceRules": [_LEASES],
    }),
    _schema("endpoint-controller", "workload-high", 150, _BY_USER, {
        "subjects": [
            *_users("system:kube-controller-manager"),
            *_accounts("endpoint-controller", "endpointslicemirroring-controller"),
        ],
        "resourceRules": [_rule("get create update", "", "endpoints")],
    }),
    _schema("kube-controller-manager", "workload-high", 800, _BY_NAMESPACE,
        _everything(*_users("system:kube-controller-manager"))),
    _schema("kube-scheduler", "workload-high", 800, _BY_NAMESPACE,
        _everything(*_users("system:kube-scheduler"))),
    _schema("kube-system-service-accounts", "workload-high", 900, _BY_NAMESPACE,
        _everything(*_accounts("*"))),
    _schema("service-accounts", "workload-low", 9000, _BY_USER,
        _everything(*_groups("system:serviceaccounts"))),
    _schema("global-default", "global-default", 9900, _BY_USER, _everything(*_groups(*_EVERYBODY))),
)  # fmt: skip
