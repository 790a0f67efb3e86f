"""Views of the core group, with the fields that controllers, scheduler and proxy read.

The kubelet reads nearly all of a Pod and has a view of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from kplane.api.resource import Resource
from kplane.api.types.discovery import ObjectReference
from kplane.api.types.meta import Condition, Part, View, condition


class ContainerPort(Part, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = msgspec.field(name="hostIP", default="")


class ResourceRequirements(Part, frozen=True):
    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Container(Part, frozen=True):
    name: str
    image: str = ""
    ports: tuple[ContainerPort, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str | None = None


class Toleration(Part, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class NodeSelectorRequirement(Part, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = ()


class NodeSelectorTerm(Part, frozen=True):
    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(Part, frozen=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredSchedulingTerm(Part, frozen=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Part, frozen=True):
    required: NodeSelector | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )
    preferred: tuple[PreferredSchedulingTerm, ...] = msgspec.field(
        name="preferredDuringSchedulingIgnoredDuringExecution", default=()
    )


class Affinity(Part, frozen=True):
    node_affinity: NodeAffinity | None = None


class PodReadinessGate(Part, frozen=True):
    condition_type: str


class PodSchedulingGate(Part, frozen=True):
    name: str


class ClaimSource(Part, frozen=True):
    claim_name: str = ""


class EphemeralSource(Part, frozen=True):
    volume_claim_template: dict[str, Any] = {}
    """As it is on the wire."""


class Volume(Part, frozen=True):
    """A Pod's volume; the source is empty for kinds that no control loop looks into."""

    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: EphemeralSource | None = None


class PodResourceClaim(Part, frozen=True):
    """What a Pod wants of devices: a claim by name, or one of its own, made from a template."""

    name: str
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodResourceClaimStatus(Part, frozen=True):
    name: str
    resource_claim_name: str | None = None
    """None: no claim is needed."""


class PodExtendedResourceClaimStatus(Part, frozen=True):
    resource_claim_name: str = ""


class PodSpec(Part, frozen=True):
    node_name: str = ""
    scheduler_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    overhead: dict[str, str | int | float] = {}
    resources: ResourceRequirements | None = None
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str | None = None
    restart_policy: str = "Always"
    host_network: bool = False
    hostname: str = ""
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    volumes: tuple[Volume, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()


class PodIP(Part, frozen=True):
    ip: str = ""


class ContainerStateTerminated(Part, frozen=True):
    exit_code: int = 0
    finished_at: datetime | None = None


class ContainerState(Part, frozen=True):
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Part, frozen=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()


class PodStatus(Part, frozen=True):
    phase: str = ""
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = msgspec.field(name="podIP", default="")
    pod_ips: tuple[PodIP, ...] = msgspec.field(name="podIPs", default=())
    host_ip: str = msgspec.field(name="hostIP", default="")
    start_time: datetime | None = None
    nominated_node_name: str = ""
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None


class Pod(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Whether the Ready condition is True."""
        found = condition(self.status.conditions, "Ready")
        return found is not None and found.status == "True"

    @property
    def terminal(self) -> bool:
        """Whether the Pod has run to its end and will never run again."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def active(self) -> bool:
        """Whether the Pod counts towards its owner's replicas."""
        return not self.terminal and self.metadata.deletion_timestamp is None


class Taint(Part, frozen=True):
    key: str
    effect: str
    value: str = ""
    time_added: datetime | None = None


class NodeSpec(Part, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    pod_cidr: str = msgspec.field(name="podCIDR", default="")
    pod_cidrs: tuple[str, ...] = msgspec.field(name="podCIDRs", default=())
    provider_id: str = msgspec.field(name="providerID", default="")


class NodeAddress(Part, frozen=True):
    type: str
    address: str


class DaemonEndpoint(Part, frozen=True):
    port: int = msgspec.field(name="Port", default=0)


class NodeDaemonEndpoints(Part, frozen=True):
    kubelet_endpoint: DaemonEndpoint = DaemonEndpoint()


class ContainerImage(Part, frozen=True):
    names: tuple[str, ...] = ()
    size_bytes: int = 0


class AttachedVolume(Part, frozen=True):
    name: str = ""


class NodeStatus(Part, frozen=True):
    allocatable: dict[str, str | int | float] = {}
    capacity: dict[str, str | int | float] = {}
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemon_endpoints: NodeDaemonEndpoints = NodeDaemonEndpoints()
    images: tuple[ContainerImage, ...] = ()
    volumes_in_use: tuple[str, ...] = ()
    volumes_attached: tuple[AttachedVolume, ...] = ()


class Node(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class NamespaceSpec(Part, frozen=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Part, frozen=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ServicePort(Part, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str | None = None


class ClientIPConfig(Part, frozen=True):
    timeout_seconds: int | None = None


class SessionAffinityConfig(Part, frozen=True):
    client_ip: ClientIPConfig | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(Part, frozen=True):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] = msgspec.field(name="clusterIPs", default=())
    ip_families: tuple[str, ...] = ()
    external_ips: tuple[str, ...] = msgspec.field(name="externalIPs", default=())
    external_traffic_policy: str = ""
    internal_traffic_policy: str | None = None
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    publish_not_ready_addresses: bool = False
    health_check_node_port: int = 0
    traffic_distribution: str | None = None


class Service(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ServiceSpec = ServiceSpec()


class EndpointAddress(Part, frozen=True):
    ip: str
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class SubsetPort(Part, frozen=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSubset(Part, frozen=True):
    addresses: tuple[EndpointAddress, ...] | None = ()
    not_ready_addresses: tuple[EndpointAddress, ...] | None = ()
    ports: tuple[SubsetPort, ...] | None = ()


class Endpoints(View, frozen=True):
    API: ClassVar[Resource[Any]]

    subsets: tuple[EndpointSubset, ...] | None = ()


class ConfigMap(View, frozen=True):
    API: ClassVar[Resource[Any]]

    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    """Values in base64."""


class Secret(View, frozen=True):
    API: ClassVar[Resource[Any]]

    type: str = "Opaque"
    data: dict[str, str] = {}
    """Values in base64."""


class Event(View, frozen=True):
    API: ClassVar[Resource[Any]]

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0


Pod.API = Resource("", "v1", "pods", "Pod", True, Pod)
Node.API = Resource("", "v1", "nodes", "Node", False, Node)
Namespace.API = Resource("", "v1", "namespaces", "Namespace", False, Namespace)
Service.API = Resource("", "v1", "services", "Service", True, Service)
Endpoints.API = Resource("", "v1", "endpoints", "Endpoints", True, Endpoints)
ConfigMap.API = Resource("", "v1", "configmaps", "ConfigMap", True, ConfigMap)
Secret.API = Resource("", "v1", "secrets", "Secret", True, Secret)
Event.API = Resource("", "v1", "events", "Event", True, Event)
