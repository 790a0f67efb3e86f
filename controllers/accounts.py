"""Which service account each controller works as, and what that account's role lets it patch.

Source: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/controller_policy.go. Most roles let a controller
update what it writes and not patch it; see credentials.py for what that means.
"""

from __future__ import annotations

from collections.abc import Mapping

NAMESPACE = "kube-system"

ACCOUNTS: Mapping[str, str] = {
    "bootstrap-signer-controller": "bootstrap-signer",
    "certificatesigningrequest-approving-controller": "certificate-controller",
    "certificatesigningrequest-cleaner-controller": "certificate-controller",
    "certificatesigningrequest-signing-controller": "certificate-controller",
    "daemonset-controller": "daemon-set-controller",
    "endpoints-controller": "endpoint-controller",
    "endpointslice-mirroring-controller": "endpointslicemirroring-controller",
    "garbage-collector-controller": "generic-garbage-collector",
    "horizontal-pod-autoscaler-controller": "horizontal-pod-autoscaler",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller": (
        "kube-apiserver-serving-clustertrustbundle-publisher"
    ),
    "legacy-serviceaccount-token-cleaner-controller": "legacy-service-account-token-cleaner",
    "node-ipam-controller": "node-controller",
    "node-lifecycle-controller": "node-controller",
    "persistentvolume-attach-detach-controller": "attachdetach-controller",
    "persistentvolume-binder-controller": "persistent-volume-binder",
    "persistentvolume-expander-controller": "expand-controller",
    "persistentvolume-protection-controller": "pv-protection-controller",
    "persistentvolumeclaim-protection-controller": "pvc-protection-controller",
    "pod-garbage-collector-controller": "pod-garbage-collector",
    "podcertificaterequest-cleaner-controller": "podcertificaterequestcleaner",
    "replicationcontroller-controller": "replication-controller",
    "resourceclaim-controller": "resource-claim-controller",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "service-cidr-controller": "service-cidrs-controller",
    "serviceaccount-controller": "service-account-controller",
    "taint-eviction-controller": "node-controller",
    "token-cleaner-controller": "token-cleaner",
}
"""Controllers whose account has another name."""

OF_THE_MANAGER = frozenset({"serviceaccount-token-controller"})
"""Controllers that work as the manager itself."""

PATCHED: Mapping[str, str] = {
    "attachdetach-controller": "nodes/status",
    "clusterrole-aggregation-controller": "clusterroles",
    "cronjob-controller": "jobs",
    "daemon-set-controller": "pods controllerrevisions",
    "deployment-controller": "replicasets",
    "device-taint-eviction-controller": "pods/status devicetaintrules/status",
    "disruption-controller": "pods/status",
    "expand-controller": "persistentvolumes persistentvolumeclaims/status",
    "generic-garbage-collector": "*",
    "job-controller": "jobs pods",
    "legacy-service-account-token-cleaner": "secrets",
    "node-controller": "nodes nodes/status pods/status",
    "pod-garbage-collector": "pods/status",
    "replicaset-controller": "pods",
    "replication-controller": "pods",
    "resource-claim-controller": "resourceclaims resourceclaims/status resourceclaims/binding pods/status",
    "service-cidrs-controller": "servicecidrs servicecidrs/finalizers servicecidrs/status",
    "statefulset-controller": "pods controllerrevisions",
    "storage-version-migrator-controller": "*",
    "ttl-controller": "nodes",
    "validatingadmissionpolicy-status-controller": "validatingadmissionpolicies/status",
}
"""Account -> what its role lets it patch, beside events."""


def account(controller: str) -> str:
    return ACCOUNTS.get(controller, controller)


def patched(account: str) -> frozenset[str]:
    """Resources and subresources; `*` for all."""
    return frozenset(("events", *PATCHED.get(account, "").split()))
