"""ClusterRoles of the cluster's components, of what everybody may see, and of those who approve certificates;
and to whom they are bound.
"""

from __future__ import annotations

from kplane.api.resource import Object

from .nodes import NODE_RULES
from .writing import (
    EVENTS,
    READ,
    READ_UPDATE,
    READ_WRITE,
    account,
    cluster_binding,
    cluster_role,
    group,
    paths,
    rule,
    user,
)

_HEALTH = "/livez /readyz /healthz"
_CERTIFICATES = "system:certificates.k8s.io:"
_REQUESTS = f"{_CERTIFICATES}certificatesigningrequests:"
_CHECKS = (
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
)

_CONTROLLER_MANAGER = (
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    rule("create", "core", "secrets serviceaccounts"),
    rule("delete", "core", "secrets"),
    rule("get", "core", "namespaces secrets serviceaccounts configmaps"),
    rule("update", "core", "secrets serviceaccounts"),
    *_CHECKS,
    rule("list watch", "*", "*"),
    rule("create", "core", "serviceaccounts/token"),
)

_SCHEDULER = (
    EVENTS,
    rule("create", "coordination.k8s.io", "leases"),
    rule("get update list watch", "coordination.k8s.io", "leases", "kube-scheduler"),
    rule(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
    rule(READ, "core", "nodes"),
    rule("get list watch delete", "core", "pods"),
    rule("create", "core", "pods/binding bindings"),
    rule("patch update", "core", "pods/status"),
    rule(READ, "core", "services replicationcontrollers"),
    rule(READ, "apps extensions", "replicasets"),
    rule(READ, "apps", "statefulsets"),
    rule(READ, "policy", "poddisruptionbudgets"),
    rule(READ, "core", "persistentvolumeclaims persistentvolumes"),
    *_CHECKS,
    rule(READ, "storage.k8s.io", "csinodes"),
    rule(READ, "storage.k8s.io", "volumeattachments"),
    rule(READ, "core", "namespaces"),
    rule(READ, "storage.k8s.io", "csidrivers"),
    rule(READ, "storage.k8s.io", "csistoragecapacities"),
    rule(READ, "resource.k8s.io", "deviceclasses"),
    rule(READ_UPDATE, "resource.k8s.io", "resourceclaims"),
    rule(READ_UPDATE, "resource.k8s.io", "resourceclaims/status"),
    rule("update", "core", "pods/finalizers"),
    rule(READ, "resource.k8s.io", "resourceslices"),
    rule("create delete", "resource.k8s.io", "resourceclaims"),
    rule("update patch", "resource.k8s.io", "resourceclaims/binding"),
)

COMPONENT_ROLES: tuple[Object, ...] = (
    cluster_role(
        "system:discovery",
        paths("get", f"{_HEALTH} /version /version/ /openapi /openapi/* /api /api/* /apis /apis/*"),
    ),
    cluster_role(
        "system:monitoring",
        paths("get", f"/metrics /metrics/slis {_HEALTH} /livez/* /readyz/* /healthz/*"),
        rule("get", "core", "nodes/metrics"),
    ),
    cluster_role(
        "system:basic-user",
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    cluster_role("system:public-info-viewer", paths("get", f"{_HEALTH} /version /version/")),
    cluster_role(
        "system:heapster",
        rule(READ, "core", "events pods nodes namespaces"),
        rule(READ, "extensions", "deployments"),
    ),
    cluster_role("system:node", *NODE_RULES),
    cluster_role(
        "system:node-problem-detector",
        rule("get", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS,
    ),
    cluster_role(
        "system:node-bootstrapper",
        rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ),
    cluster_role("system:auth-delegator", *_CHECKS),
    cluster_role("system:kube-aggregator", rule(READ, "core", "services endpoints")),
    cluster_role("system:kube-controller-manager", *_CONTROLLER_MANAGER),
    cluster_role("system:kube-dns", rule("list watch", "core", "endpoints services")),
    cluster_role(
        "system:persistent-volume-provisioner",
        rule("get list watch create delete", "core", "persistentvolumes"),
        rule("get list watch update", "core", "persistentvolumeclaims"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule("watch", "core", "events"),
        EVENTS,
    ),
    cluster_role(
        f"{_REQUESTS}nodeclient",
        rule("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient"),
    ),
    cluster_role(
        f"{_REQUESTS}selfnodeclient",
        rule("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient"),
    ),
    cluster_role(
        "system:volume-scheduler",
        rule(READ_UPDATE, "core", "persistentvolumes"),
        rule(READ, "storage.k8s.io", "storageclasses"),
        rule(READ_UPDATE, "core", "persistentvolumeclaims"),
    ),
    *(
        cluster_role(
            f"{_CERTIFICATES}{signer}-approver",
            rule("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}"),
        )
        for signer in (
            "legacy-unknown",
            "kubelet-serving",
            "kube-apiserver-client",
            "kube-apiserver-client-kubelet",
        )
    ),
    cluster_role(
        "system:service-account-issuer-discovery",
        paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/"
            " /openid/v1/jwks /openid/v1/jwks/",
        ),
    ),
    cluster_role(
        "system:cluster-trust-bundle-discovery",
        rule(READ, "certificates.k8s.io", "clustertrustbundles"),
    ),
    cluster_role(
        "system:kubelet-api-admin",
        rule(READ, "core", "nodes"),
        rule("proxy", "core", "nodes"),
        rule("*", "core", "nodes/proxy nodes/metrics nodes/stats nodes/log"),
        rule("*", "core", "nodes/pods nodes/healthz nodes/configz"),
    ),
    cluster_role(
        "system:node-proxier",
        rule("list watch", "core", "services endpoints"),
        rule(READ, "core", "nodes"),
        EVENTS,
        rule("list watch", "networking.k8s.io", "servicecidrs"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    cluster_role("system:kube-scheduler", *_SCHEDULER),
)

_AUTHENTICATED = group("system:authenticated")
_SCHEDULER_USER = user("system:kube-scheduler")

COMPONENT_BINDINGS: tuple[Object, ...] = (
    cluster_binding("cluster-admin", group("system:masters")),
    cluster_binding("system:monitoring", group("system:monitoring")),
    cluster_binding("system:discovery", _AUTHENTICATED),
    cluster_binding("system:basic-user", _AUTHENTICATED),
    cluster_binding("system:public-info-viewer", _AUTHENTICATED, group("system:unauthenticated")),
    cluster_binding("system:node-proxier", user("system:kube-proxy")),
    cluster_binding("system:kube-controller-manager", user("system:kube-controller-manager")),
    cluster_binding("system:kube-dns", account("kube-dns")),
    cluster_binding("system:kube-scheduler", _SCHEDULER_USER),
    cluster_binding("system:volume-scheduler", _SCHEDULER_USER),
    # To nobody: what nodes may do is the Node authoriser's to say.
    cluster_binding("system:node"),
    cluster_binding("system:service-account-issuer-discovery", group("system:serviceaccounts")),
    cluster_binding("system:cluster-trust-bundle-discovery", group("system:serviceaccounts")),
)
