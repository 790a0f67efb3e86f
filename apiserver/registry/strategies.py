"""The table of built-in strategies: (group, plural) to what differs for that resource.

Every resource of the stable groups that stores objects has a row; one module per resource, or per family of
small ones, beside this one.
"""

from __future__ import annotations

from .addressobjects import IPAddressStrategy, ServiceCIDRStrategy
from .admissionpolicies import (
    AdmissionPolicyBindingStrategy,
    MutatingAdmissionPolicyStrategy,
    ValidatingAdmissionPolicyStrategy,
)
from .apiservices import APIServiceStrategy
from .autoscalers import HorizontalPodAutoscalerStrategy
from .certificates import CertificateSigningRequestStrategy
from .classes import PriorityClassStrategy, RuntimeClassStrategy
from .configmaps import ConfigMapStrategy
from .cronjobs import CronJobStrategy
from .customresourcedefinitions import CustomResourceDefinitionStrategy
from .daemonsets import DaemonSetStrategy
from .deployments import DeploymentStrategy
from .devicekinds import DeviceClassStrategy, DeviceTaintRuleStrategy, ResourceSliceStrategy
from .endpoints import EndpointSliceStrategy, EndpointsStrategy
from .events import EventStrategy, EventsV1Strategy
from .flowcontrol import FlowSchemaStrategy, PriorityLevelConfigurationStrategy
from .jobs import JobStrategy
from .leases import LeaseStrategy
from .namespaces import NamespaceStrategy
from .networking import IngressClassStrategy, IngressStrategy, NetworkPolicyStrategy
from .nodes import NodeStrategy
from .persistentvolumes import PersistentVolumeStrategy
from .podcertificates import PodCertificateRequestStrategy
from .pods import PodStrategy
from .policies import (
    LimitRangeStrategy,
    PodDisruptionBudgetStrategy,
    PodTemplateStrategy,
    ResourceQuotaStrategy,
)
from .rbac import BindingStrategy, ClusterRoleStrategy, RoleStrategy
from .replicasets import ReplicaSetStrategy, ReplicationControllerStrategy
from .resourceclaims import ResourceClaimStrategy, ResourceClaimTemplateStrategy
from .secrets import SecretStrategy
from .serviceaccounts import ServiceAccountStrategy
from .services import ServiceStrategy
from .statefulsets import ControllerRevisionStrategy, StatefulSetStrategy
from .storage import (
    CSIDriverStrategy,
    CSINodeStrategy,
    CSIStorageCapacityStrategy,
    StorageClassStrategy,
    VolumeAttachmentStrategy,
    VolumeAttributesClassStrategy,
)
from .storagemigrations import StorageVersionMigrationStrategy
from .strategy import Strategy
from .trustbundles import ClusterTrustBundleStrategy
from .volumeclaims import PersistentVolumeClaimStrategy
from .webhookconfigurations import WebhookConfigurationStrategy

ADMISSION = "admissionregistration.k8s.io"
CERTIFICATES = "certificates.k8s.io"
DYNAMIC = "resource.k8s.io"
FLOWS = "flowcontrol.apiserver.k8s.io"
NETWORKING = "networking.k8s.io"
RBAC = "rbac.authorization.k8s.io"
STORAGE = "storage.k8s.io"

STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "configmaps"): ConfigMapStrategy(),
    ("", "endpoints"): EndpointsStrategy(),
    ("", "events"): EventStrategy(),
    ("", "limitranges"): LimitRangeStrategy(),
    ("", "namespaces"): NamespaceStrategy(),
    ("", "nodes"): NodeStrategy(),
    ("", "persistentvolumeclaims"): PersistentVolumeClaimStrategy(),
    ("", "persistentvolumes"): PersistentVolumeStrategy(),
    ("", "pods"): PodStrategy(),
    ("", "podtemplates"): PodTemplateStrategy(),
    ("", "replicationcontrollers"): ReplicationControllerStrategy(),
    ("", "resourcequotas"): ResourceQuotaStrategy(),
    ("", "secrets"): SecretStrategy(),
    ("", "serviceaccounts"): ServiceAccountStrategy(),
    ("", "services"): ServiceStrategy(),
    (ADMISSION, "mutatingadmissionpolicies"): MutatingAdmissionPolicyStrategy(),
    (ADMISSION, "mutatingadmissionpolicybindings"): AdmissionPolicyBindingStrategy(mutating=True),
    (ADMISSION, "mutatingwebhookconfigurations"): WebhookConfigurationStrategy(mutating=True),
    (ADMISSION, "validatingadmissionpolicies"): ValidatingAdmissionPolicyStrategy(),
    (ADMISSION, "validatingadmissionpolicybindings"): AdmissionPolicyBindingStrategy(mutating=False),
    (ADMISSION, "validatingwebhookconfigurations"): WebhookConfigurationStrategy(mutating=False),
    ("apiextensions.k8s.io", "customresourcedefinitions"): CustomResourceDefinitionStrategy(),
    ("apiregistration.k8s.io", "apiservices"): APIServiceStrategy(),
    ("apps", "controllerrevisions"): ControllerRevisionStrategy(),
    ("apps", "daemonsets"): DaemonSetStrategy(),
    ("apps", "deployments"): DeploymentStrategy(),
    ("apps", "replicasets"): ReplicaSetStrategy(),
    ("apps", "statefulsets"): StatefulSetStrategy(),
    ("autoscaling", "horizontalpodautoscalers"): HorizontalPodAutoscalerStrategy(),
    ("batch", "cronjobs"): CronJobStrategy(),
    ("batch", "jobs"): JobStrategy(),
    (CERTIFICATES, "certificatesigningrequests"): CertificateSigningRequestStrategy(),
    (CERTIFICATES, "clustertrustbundles"): ClusterTrustBundleStrategy(),
    (CERTIFICATES, "podcertificaterequests"): PodCertificateRequestStrategy(),
    ("coordination.k8s.io", "leases"): LeaseStrategy(),
    ("discovery.k8s.io", "endpointslices"): EndpointSliceStrategy(),
    ("events.k8s.io", "events"): EventsV1Strategy(),
    (FLOWS, "flowschemas"): FlowSchemaStrategy(),
    (FLOWS, "prioritylevelconfigurations"): PriorityLevelConfigurationStrategy(),
    (NETWORKING, "ingressclasses"): IngressClassStrategy(),
    (NETWORKING, "ingresses"): IngressStrategy(),
    (NETWORKING, "ipaddresses"): IPAddressStrategy(),
    (NETWORKING, "networkpolicies"): NetworkPolicyStrategy(),
    (NETWORKING, "servicecidrs"): ServiceCIDRStrategy(),
    ("node.k8s.io", "runtimeclasses"): RuntimeClassStrategy(),
    ("policy", "poddisruptionbudgets"): PodDisruptionBudgetStrategy(),
    (RBAC, "clusterrolebindings"): BindingStrategy(namespaced=False),
    (RBAC, "clusterroles"): ClusterRoleStrategy(),
    (RBAC, "rolebindings"): BindingStrategy(namespaced=True),
    (RBAC, "roles"): RoleStrategy(),
    (DYNAMIC, "deviceclasses"): DeviceClassStrategy(),
    (DYNAMIC, "devicetaintrules"): DeviceTaintRuleStrategy(),
    (DYNAMIC, "resourceclaims"): ResourceClaimStrategy(),
    (DYNAMIC, "resourceclaimtemplates"): ResourceClaimTemplateStrategy(),
    (DYNAMIC, "resourceslices"): ResourceSliceStrategy(),
    ("scheduling.k8s.io", "priorityclasses"): PriorityClassStrategy(),
    (STORAGE, "csidrivers"): CSIDriverStrategy(),
    (STORAGE, "csinodes"): CSINodeStrategy(),
    (STORAGE, "csistoragecapacities"): CSIStorageCapacityStrategy(),
    (STORAGE, "storageclasses"): StorageClassStrategy(),
    (STORAGE, "volumeattachments"): VolumeAttachmentStrategy(),
    (STORAGE, "volumeattributesclasses"): VolumeAttributesClassStrategy(),
    ("storagemigration.k8s.io", "storageversionmigrations"): StorageVersionMigrationStrategy(),
}
