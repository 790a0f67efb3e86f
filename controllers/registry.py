"""The table of controllers: under upstream's name of each, its class and what upstream calls its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kplane.client.controller import Context, Controller

from .bootstrap import BootstrapSigner, TokenCleaner
from .certificates.approving import CSRApprovingController
from .certificates.cleaner import CSRCleanerController, PodCertificateRequestCleaner
from .certificates.servingapproving import KubeletServingApprover
from .certificates.signing import CSRSigningController
from .clusterroleaggregation import ClusterRoleAggregationController
from .cronjob import CronJobController
from .daemonset import DaemonSetController
from .deployment import DeploymentController
from .devicetainteviction import DeviceTaintEvictionController
from .disruption import DisruptionController
from .endpoints import EndpointsController
from .endpointslice import EndpointSliceController
from .endpointslicemirroring import EndpointSliceMirroringController
from .garbagecollector import GarbageCollector
from .horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from .job import JobController
from .legacytokencleaner import LegacyTokenCleaner
from .namespace import NamespaceController
from .nodeipam.controller import NodeIpamController
from .nodelifecycle import NodeLifecycleController, TaintEvictionController
from .nodettl import NodeTTLController
from .podgc import PodGCController
from .replicaset import ReplicaSetController
from .replicationcontroller import ReplicationControllerController
from .resourceclaim.controller import ResourceClaimController
from .resourcequota import ResourceQuotaController
from .root_ca import RootCAPublisher
from .serviceaccount import ServiceAccountController
from .serviceaccounttoken import ServiceAccountTokenController
from .servicecidrs import ServiceCIDRController
from .statefulset import StatefulSetController
from .storage.attachdetach import AttachDetachController
from .storage.binder import VolumeBinder
from .storage.classprotection import AttributesClassProtection
from .storage.ephemeral import EphemeralVolumeController
from .storage.expander import VolumeExpander
from .storage.protection import ClaimProtection, VolumeProtection
from .storageversionmigrator import StorageVersionMigrator
from .trustbundlepublisher import TrustBundlePublisher
from .ttl_after_finished import TTLAfterFinishedController
from .validatingadmissionpolicystatus import ValidatingAdmissionPolicyStatusController


@dataclass(frozen=True)
class Entry:
    """One controller. `make` is its class."""

    make: Callable[[Context], Controller]
    queue: str
    """Name of its queue in metrics."""
    workers_flag: str
    """Empty for controllers that upstream gives no such flag."""
    workers: int
    """Keys worked on at once, unless `workers_flag` says otherwise."""
    event_source: str = ""
    """How it signs its Events, where that is not its name."""


CONTROLLERS: Mapping[str, Entry] = {
    "bootstrap-signer-controller": Entry(BootstrapSigner, "bootstrap_signer_queue", "", 1),
    "certificatesigningrequest-approving-controller": Entry(CSRApprovingController, "csrapproving", "", 5),
    "certificatesigningrequest-cleaner-controller": Entry(CSRCleanerController, "csrcleaner", "", 1),
    "certificatesigningrequest-signing-controller": Entry(CSRSigningController, "csrsigning", "", 5),
    "clusterrole-aggregation-controller": Entry(
        ClusterRoleAggregationController, "ClusterRoleAggregator", "", 5
    ),
    "cronjob-controller": Entry(CronJobController, "cronjob", "concurrent-cron-job-syncs", 5),
    "daemonset-controller": Entry(DaemonSetController, "daemonset", "concurrent-daemonset-syncs", 2),
    "deployment-controller": Entry(DeploymentController, "deployment", "concurrent-deployment-syncs", 5),
    "device-taint-eviction-controller": Entry(
        DeviceTaintEvictionController,
        "device-taint-eviction-controller",
        "concurrent-device-taint-eviction-syncs",
        10,
    ),
    "disruption-controller": Entry(DisruptionController, "disruption", "", 1, "controllermanager"),
    "endpoints-controller": Entry(
        EndpointsController, "endpoint", "concurrent-endpoint-syncs", 5, "endpoint-controller"
    ),
    "endpointslice-controller": Entry(
        EndpointSliceController,
        "endpoint_slice",
        "concurrent-service-endpoint-syncs",
        5,
        "endpoint-slice-controller",
    ),
    "endpointslice-mirroring-controller": Entry(
        EndpointSliceMirroringController,
        "endpoint_slice_mirroring",
        "mirroring-concurrent-service-endpoint-syncs",
        5,
        "endpoint-slice-mirroring-controller",
    ),
    "ephemeral-volume-controller": Entry(
        EphemeralVolumeController,
        "ephemeral_volume",
        "concurrent-ephemeralvolume-syncs",
        5,
        "ephemeral_volume",
    ),
    "garbage-collector-controller": Entry(
        GarbageCollector, "garbage_collector_attempt_to_delete", "concurrent-gc-syncs", 20
    ),
    "horizontal-pod-autoscaler-controller": Entry(
        HorizontalPodAutoscalerController,
        "horizontalpodautoscaler",
        "concurrent-horizontal-pod-autoscaler-syncs",
        5,
        "horizontal-pod-autoscaler",
    ),
    "job-controller": Entry(JobController, "job", "concurrent-job-syncs", 5),
    "kube-apiserver-serving-clustertrustbundle-publisher-controller": Entry(
        TrustBundlePublisher, "ca_cert_publisher_cluster_trust_bundles", "", 1
    ),
    "kubelet-serving-approving-controller": Entry(KubeletServingApprover, "kubelet_serving_approving", "", 1),
    "legacy-serviceaccount-token-cleaner-controller": Entry(
        LegacyTokenCleaner, "legacy_serviceaccount_token_cleaner", "", 1
    ),
    "namespace-controller": Entry(NamespaceController, "namespace", "concurrent-namespace-syncs", 10),
    "node-ipam-controller": Entry(NodeIpamController, "cidr_allocator_node", "", 1, "cidrAllocator"),
    "node-lifecycle-controller": Entry(
        NodeLifecycleController, "node_lifecycle_controller", "", 8, "node-controller"
    ),
    "persistentvolume-attach-detach-controller": Entry(
        AttachDetachController, "attach_detach", "", 10, "attachdetach-controller"
    ),
    "persistentvolume-binder-controller": Entry(VolumeBinder, "claims", "", 1, "persistentvolume-controller"),
    "persistentvolume-expander-controller": Entry(VolumeExpander, "volume_expand", "", 10, "volume_expand"),
    "persistentvolume-protection-controller": Entry(VolumeProtection, "pvprotection", "", 1),
    "persistentvolumeclaim-protection-controller": Entry(ClaimProtection, "pvcprotection", "", 1),
    "pod-garbage-collector-controller": Entry(PodGCController, "pod_garbage_collector", "", 1),
    "podcertificaterequest-cleaner-controller": Entry(
        PodCertificateRequestCleaner, "podcertificaterequestcleaner", "", 1
    ),
    "replicaset-controller": Entry(ReplicaSetController, "replicaset", "concurrent-replicaset-syncs", 5),
    "replicationcontroller-controller": Entry(
        ReplicationControllerController,
        "replicationmanager",
        "concurrent-rc-syncs",
        5,
        "replication-controller",
    ),
    "resourceclaim-controller": Entry(
        ResourceClaimController, "resource_claim", "concurrent-resource-claim-syncs", 10, "resource_claim"
    ),
    "resourcequota-controller": Entry(
        ResourceQuotaController, "resourcequota_primary", "concurrent-resource-quota-syncs", 5
    ),
    "root-ca-certificate-publisher-controller": Entry(
        RootCAPublisher, "root_ca_cert_publisher", "concurrent-root-ca-syncs", 1
    ),
    "service-cidr-controller": Entry(ServiceCIDRController, "servicecidrs", "", 5),
    "serviceaccount-controller": Entry(
        ServiceAccountController, "serviceaccount", "concurrent-serviceaccount-syncs", 1
    ),
    "serviceaccount-token-controller": Entry(
        ServiceAccountTokenController,
        "serviceaccount_tokens_secret",
        "concurrent-serviceaccount-token-syncs",
        5,
    ),
    "statefulset-controller": Entry(StatefulSetController, "statefulset", "concurrent-statefulset-syncs", 5),
    "storage-version-migrator-controller": Entry(
        StorageVersionMigrator, "storage-version-migrator-controller", "", 5
    ),
    "taint-eviction-controller": Entry(TaintEvictionController, "noexec_taint_pod", "", 8),
    "token-cleaner-controller": Entry(TokenCleaner, "token_cleaner", "", 1),
    "ttl-controller": Entry(NodeTTLController, "ttlcontroller", "", 1),
    "ttl-after-finished-controller": Entry(
        TTLAfterFinishedController, "ttl_jobs_to_delete", "concurrent-ttl-after-finished-syncs", 5
    ),
    "validatingadmissionpolicy-status-controller": Entry(
        ValidatingAdmissionPolicyStatusController,
        "validatingadmissionpolicy-status",
        "concurrent-validating-admission-policy-status-syncs",
        5,
    ),
    "volumeattributesclass-protection-controller": Entry(AttributesClassProtection, "vacprotection", "", 1),
}


def worker_flags() -> dict[str, tuple[str, int]]:
    """Controller -> the flag for its number of workers, and its default."""
    return {name: (entry.workers_flag, entry.workers) for name, entry in CONTROLLERS.items()}
