"""The table of built-in resources: what a stock Kubernetes 1.37 serves in its stable groups.

Names, categories, verbs and subresources are those of its discovery; storage paths those of its etcd keys.
Objects served at two versions are stored once, as the row's `stored_as` says.
"""

from __future__ import annotations

from kplane.api.scheme.rows import ALL_VERBS, CREATE_ONLY, ResourceInfo, SubresourceInfo

READ_WRITE = ("get", "patch", "update")
PROXY_VERBS = ("create", "delete", "get", "patch", "update")
STREAM_VERBS = ("create", "get")

ALL = ("all",)
EXTENSIONS = ("api-extensions",)
NOT_STORED = ""

SCALE = SubresourceInfo("scale", "Scale", READ_WRITE, "autoscaling", "v1")

RETURN_DELETED = frozenset(
    {
        "csidrivers", "csinodes", "deviceclasses", "devicetaintrules", "persistentvolumeclaims",
        "persistentvolumes", "pods", "podtemplates", "resourceclaims", "resourceclaimtemplates",
        "resourcequotas", "resourceslices", "serviceaccounts", "services", "storageclasses",
        "volumeattachments", "volumeattributesclasses",
    }
)  # fmt: skip
"""Resources whose DELETE answers with the object that it removed."""

_PACKAGES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def _row(
    group_version: str,
    kind: str,
    plural: str,
    *short_names: str,
    namespaced: bool = True,
    verbs: tuple[str, ...] = ALL_VERBS,
    categories: tuple[str, ...] = (),
    subresources: tuple[str | SubresourceInfo, ...] = (),
    storage_path: str | None = None,
    stored_as: tuple[str, str] | None = None,
    deprecation: str = "",
) -> ResourceInfo:
    """A row; a subresource given by its name alone reads and writes the object itself."""
    group, _, version = group_version.rpartition("/")
    package = _PACKAGES.get(group) or f"io.k8s.api.{group.partition('.')[0]}"
    return ResourceInfo(
        group=group,
        version=version,
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        namespaced=namespaced,
        definition=f"{package}.{version}.{kind}",
        list_kind=f"{kind}List" if "list" in verbs else "",
        short_names=short_names,
        categories=categories,
        verbs=verbs,
        subresources=tuple(
            SubresourceInfo(entry, kind, READ_WRITE) if isinstance(entry, str) else entry
            for entry in subresources
        ),
        storage_path=plural if storage_path is None else storage_path,
        stored_as=stored_as,
        deprecation=deprecation,
        returns_deleted=plural in RETURN_DELETED,
    )


def _cluster(group_version: str, kind: str, plural: str, *short_names: str, **rest: object) -> ResourceInfo:
    return _row(group_version, kind, plural, *short_names, namespaced=False, **rest)  # type: ignore[arg-type]


def _review(group_version: str, kind: str, plural: str, *, namespaced: bool = False) -> ResourceInfo:
    """A question that is answered and forgotten."""
    return _row(
        group_version, kind, plural, namespaced=namespaced, verbs=CREATE_ONLY, storage_path=NOT_STORED
    )


POD_SUBRESOURCES = (
    SubresourceInfo("attach", "PodAttachOptions", STREAM_VERBS),
    SubresourceInfo("binding", "Binding", CREATE_ONLY),
    "ephemeralcontainers",
    SubresourceInfo("eviction", "Eviction", CREATE_ONLY, "policy", "v1"),
    SubresourceInfo("exec", "PodExecOptions", STREAM_VERBS),
    SubresourceInfo("log", "Pod", ("get",)),
    SubresourceInfo("portforward", "PodPortForwardOptions", STREAM_VERBS),
    SubresourceInfo("proxy", "PodProxyOptions", PROXY_VERBS),
    "resize",
    "status",
)
NAMESPACE_SUBRESOURCES = (SubresourceInfo("finalize", "Namespace", ("update",)), "status")
NODE_SUBRESOURCES = (SubresourceInfo("proxy", "NodeProxyOptions", PROXY_VERBS), "status")
SERVICE_SUBRESOURCES = (SubresourceInfo("proxy", "ServiceProxyOptions", PROXY_VERBS), "status")
TOKEN = SubresourceInfo("token", "TokenRequest", CREATE_ONLY, "authentication.k8s.io", "v1")
WITHOUT_DELETECOLLECTION = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")

CORE = (
    _review("v1", "Binding", "bindings", namespaced=True),
    _cluster(
        "v1",
        "ComponentStatus",
        "componentstatuses",
        "cs",
        verbs=("get", "list"),
        storage_path=NOT_STORED,
        deprecation="v1 ComponentStatus is deprecated in v1.19+",
    ),
    _row("v1", "ConfigMap", "configmaps", "cm"),
    _row(
        "v1",
        "Endpoints",
        "endpoints",
        "ep",
        storage_path="services/endpoints",
        deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
    _row("v1", "Event", "events", "ev"),
    _row("v1", "LimitRange", "limitranges", "limits"),
    _cluster(
        "v1",
        "Namespace",
        "namespaces",
        "ns",
        verbs=WITHOUT_DELETECOLLECTION,
        subresources=NAMESPACE_SUBRESOURCES,
    ),
    _cluster("v1", "Node", "nodes", "no", subresources=NODE_SUBRESOURCES, storage_path="minions"),
    _row("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", subresources=("status",)),
    _cluster("v1", "PersistentVolume", "persistentvolumes", "pv", subresources=("status",)),
    _row("v1", "Pod", "pods", "po", categories=ALL, subresources=POD_SUBRESOURCES),
    _row("v1", "PodTemplate", "podtemplates"),
    _row(
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        "rc",
        categories=ALL,
        subresources=(SCALE, "status"),
        storage_path="controllers",
    ),
    _row("v1", "ResourceQuota", "resourcequotas", "quota", subresources=("status",)),
    _row("v1", "Secret", "secrets"),
    _row("v1", "ServiceAccount", "serviceaccounts", "sa", subresources=(TOKEN,)),
    _row(
        "v1",
        "Service",
        "services",
        "svc",
        categories=ALL,
        subresources=SERVICE_SUBRESOURCES,
        storage_path="services/specs",
    ),
)

ADMISSIONREGISTRATION_V1 = "admissionregistration.k8s.io/v1"
POLICIES = (
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "MutatingAdmissionPolicy",
        "mutatingadmissionpolicies",
        categories=EXTENSIONS,
    ),
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        categories=EXTENSIONS,
    ),
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        categories=EXTENSIONS,
    ),
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        categories=EXTENSIONS,
        subresources=("status",),
    ),
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        categories=EXTENSIONS,
    ),
    _cluster(
        ADMISSIONREGISTRATION_V1,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        categories=EXTENSIONS,
    ),
    _row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", subresources=("status",)),
)

EXTENDING = (
    _cluster(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd",
        "crds",
        categories=EXTENSIONS,
        subresources=("status",),
        storage_path="apiextensions.k8s.io/customresourcedefinitions",
    ),
    _cluster(
        "apiregistration.k8s.io/v1",
        "APIService",
        "apiservices",
        categories=EXTENSIONS,
        subresources=("status",),
        storage_path="apiregistration.k8s.io/apiservices",
    ),
    _cluster(
        "storagemigration.k8s.io/v1",
        "StorageVersionMigration",
        "storageversionmigrations",
        subresources=("status",),
    ),
)

WORKLOADS = (
    _row("apps/v1", "ControllerRevision", "controllerrevisions"),
    _row("apps/v1", "DaemonSet", "daemonsets", "ds", categories=ALL, subresources=("status",)),
    _row("apps/v1", "Deployment", "deployments", "deploy", categories=ALL, subresources=(SCALE, "status")),
    _row("apps/v1", "ReplicaSet", "replicasets", "rs", categories=ALL, subresources=(SCALE, "status")),
    _row("apps/v1", "StatefulSet", "statefulsets", "sts", categories=ALL, subresources=(SCALE, "status")),
    _row("batch/v1", "CronJob", "cronjobs", "cj", categories=ALL, subresources=("status",)),
    _row("batch/v1", "Job", "jobs", categories=ALL, subresources=("status",)),
    _row(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        categories=ALL,
        subresources=("status",),
    ),
    _row(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "hpa",
        categories=ALL,
        subresources=("status",),
        stored_as=("autoscaling", "v2"),
    ),
)

NETWORK = (
    _row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    _cluster("networking.k8s.io/v1", "IngressClass", "ingressclasses"),
    _row(
        "networking.k8s.io/v1",
        "Ingress",
        "ingresses",
        "ing",
        subresources=("status",),
        storage_path="ingress",
    ),
    _cluster("networking.k8s.io/v1", "IPAddress", "ipaddresses", "ip"),
    _row("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol"),
    _cluster("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", subresources=("status",)),
)

ACCESS = (
    _review("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews"),
    _review("authentication.k8s.io/v1", "TokenReview", "tokenreviews"),
    _review(
        "authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", namespaced=True
    ),
    _review("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    _review("authorization.k8s.io/v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    _review("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews"),
    _cluster(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "csr",
        subresources=("approval", "status"),
    ),
    _cluster("certificates.k8s.io/v1", "ClusterTrustBundle", "clustertrustbundles"),
    _row(
        "certificates.k8s.io/v1", "PodCertificateRequest", "podcertificaterequests", subresources=("status",)
    ),
    _cluster("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings"),
    _cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
    _row("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    _row("rbac.authorization.k8s.io/v1", "Role", "roles"),
)

STORAGE = (
    _cluster("storage.k8s.io/v1", "CSIDriver", "csidrivers"),
    _cluster("storage.k8s.io/v1", "CSINode", "csinodes"),
    _row("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities"),
    _cluster("storage.k8s.io/v1", "StorageClass", "storageclasses", "sc"),
    _cluster("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", subresources=("status",)),
    _cluster("storage.k8s.io/v1", "VolumeAttributesClass", "volumeattributesclasses", "vac"),
)

CLUSTER = (
    _row("coordination.k8s.io/v1", "Lease", "leases"),
    _row("events.k8s.io/v1", "Event", "events", "ev", stored_as=("", "v1")),
    _cluster("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "flowschemas", subresources=("status",)),
    _cluster(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        subresources=("status",),
    ),
    _cluster("node.k8s.io/v1", "RuntimeClass", "runtimeclasses"),
    _cluster("resource.k8s.io/v1", "DeviceClass", "deviceclasses"),
    _cluster("resource.k8s.io/v1", "DeviceTaintRule", "devicetaintrules", subresources=("status",)),
    _row("resource.k8s.io/v1", "ResourceClaim", "resourceclaims", subresources=("status",)),
    _row("resource.k8s.io/v1", "ResourceClaimTemplate", "resourceclaimtemplates"),
    _cluster("resource.k8s.io/v1", "ResourceSlice", "resourceslices"),
    _cluster("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc"),
)

ROWS = (
    *CORE,
    *POLICIES,
    *EXTENDING,
    *WORKLOADS,
    *NETWORK,
    *ACCESS,
    *STORAGE,
    *CLUSTER,
)
