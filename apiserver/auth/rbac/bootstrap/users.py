"""ClusterRoles that are made for people: admin, edit and view, and the parts that they consist of."""

from __future__ import annotations

from kplane.api.resource import Object

from .writing import AGGREGATE, READ, READ_WRITE, WRITE, aggregated, cluster_role, paths, rule

_VIEW = (
    rule(
        READ,
        "core",
        "pods replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status"
        " endpoints persistentvolumeclaims persistentvolumeclaims/status configmaps",
    ),
    rule(
        READ,
        "core",
        "limitranges resourcequotas bindings pods/status resourcequotas/status namespaces/status"
        " replicationcontrollers/status pods/log",
    ),
    # Read access to namespaces in a namespace: to this one. It tells which namespaces one has access to.
    rule(READ, "core", "namespaces"),
    rule(READ, "core events.k8s.io", "events"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(
        READ,
        "apps",
        "controllerrevisions statefulsets statefulsets/status statefulsets/scale daemonsets daemonsets/status"
        " deployments deployments/status deployments/scale replicasets replicasets/status replicasets/scale",
    ),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "jobs cronjobs cronjobs/status jobs/status"),
    rule(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses"
        " ingresses/status replicasets replicasets/scale replicasets/status replicationcontrollers/scale"
        " networkpolicies",
    ),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "networkpolicies ingresses ingresses/status"),
    rule(READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
)

_EDIT = (
    # To read these is to be able to do more: whoever may only look has no right to them.
    rule(READ, "core", "pods/attach pods/proxy pods/exec pods/portforward secrets services/proxy"),
    rule("impersonate", "core", "serviceaccounts"),
    rule(WRITE, "core", "pods pods/attach pods/proxy pods/exec pods/portforward"),
    rule("create", "core", "pods/eviction"),
    rule(
        WRITE,
        "core",
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/proxy"
        " persistentvolumeclaims configmaps secrets",
    ),
    rule("create", "core", "serviceaccounts/token"),
    rule(WRITE, "core events.k8s.io", "events"),
    rule(
        WRITE,
        "apps",
        "statefulsets statefulsets/scale daemonsets deployments deployments/scale deployments/rollback"
        " replicasets replicasets/scale",
    ),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "jobs cronjobs"),
    rule(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/scale deployments/rollback ingresses replicasets"
        " replicasets/scale replicationcontrollers/scale networkpolicies",
    ),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "networkpolicies ingresses"),
    rule(READ_WRITE, "coordination.k8s.io", "leases"),
    rule(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
)

_ADMIN = (
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(READ_WRITE, "rbac.authorization.k8s.io", "roles rolebindings"),
)

USER_ROLES: tuple[Object, ...] = (
    cluster_role("cluster-admin", rule("*", "*", "*"), paths("*", "*")),
    aggregated("admin"),
    aggregated("edit", {f"{AGGREGATE}admin": "true"}),
    aggregated("view", {f"{AGGREGATE}edit": "true"}),
    cluster_role("system:aggregate-to-admin", *_ADMIN, labels={f"{AGGREGATE}admin": "true"}),
    cluster_role("system:aggregate-to-edit", *_EDIT, labels={f"{AGGREGATE}edit": "true"}),
    cluster_role("system:aggregate-to-view", *_VIEW, labels={f"{AGGREGATE}view": "true"}),
)
