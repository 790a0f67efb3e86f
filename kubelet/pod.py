"""The kubelet's view of a Pod: nearly every field of its spec, and its status as last reported.

The status stays a plain object: the kubelet compares it with the one it has computed, and keeps from it what
only the API knows (start time, transition times, conditions of others).
"""

# ruff: noqa: RUF012 msgspec copies the empty containers

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from kplane.api.resource import Object, Resource
from kplane.api.types.meta import Part, View

Quantities = dict[str, str | int | float]


class ObjectFieldSelector(Part, frozen=True):
    field_path: str
    api_version: str = "v1"


class ResourceFieldSelector(Part, frozen=True):
    resource: str
    container_name: str = ""
    divisor: str | int | float = "0"


class KeySelector(Part, frozen=True):
    """`configMapKeyRef` and `secretKeyRef`."""

    key: str
    name: str = ""
    optional: bool = False


class EnvVarSource(Part, frozen=True):
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class EnvVar(Part, frozen=True):
    name: str
    value: str = ""
    value_from: EnvVarSource | None = None


class ObjectSource(Part, frozen=True):
    """`configMapRef` and `secretRef` of envFrom."""

    name: str = ""
    optional: bool = False


class EnvFromSource(Part, frozen=True):
    prefix: str = ""
    config_map_ref: ObjectSource | None = None
    secret_ref: ObjectSource | None = None


class ContainerPort(Part, frozen=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0
    host_ip: str = msgspec.field(name="hostIP", default="")


class ResourceRequirements(Part, frozen=True):
    requests: Quantities = {}
    limits: Quantities = {}


class ResizePolicy(Part, frozen=True):
    resource_name: str
    restart_policy: str = "NotRequired"


class VolumeMount(Part, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = "None"


class VolumeDevice(Part, frozen=True):
    name: str
    device_path: str


class ExecAction(Part, frozen=True):
    command: tuple[str, ...] = ()


class HttpHeader(Part, frozen=True):
    name: str
    value: str = ""


class HttpGetAction(Part, frozen=True):
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketAction(Part, frozen=True):
    port: int | str
    host: str = ""


class GrpcAction(Part, frozen=True):
    port: int
    service: str | None = ""


class SleepAction(Part, frozen=True):
    seconds: int


class Handler(Part, frozen=True):
    """What a probe or a lifecycle hook does: one of these."""

    exec: ExecAction | None = None
    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    grpc: GrpcAction | None = None
    sleep: SleepAction | None = None


class Probe(Handler, frozen=True):
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Lifecycle(Part, frozen=True):
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: str | None = None


class Capabilities(Part, frozen=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(Part, frozen=True):
    type: str
    localhost_profile: str = ""


class SecurityContext(Part, frozen=True):
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool = False
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None
    capabilities: Capabilities = Capabilities()
    seccomp_profile: SeccompProfile | None = None
    proc_mount: str = "Default"


class Sysctl(Part, frozen=True):
    name: str
    value: str


class PodSecurityContext(Part, frozen=True):
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    seccomp_profile: SeccompProfile | None = None
    sysctls: tuple[Sysctl, ...] = ()


class ExitCodes(Part, frozen=True):
    operator: str
    values: tuple[int, ...] = ()


class RestartRule(Part, frozen=True):
    action: str
    exit_codes: ExitCodes | None = None


class Container(Part, frozen=True):
    name: str
    image: str = ""
    image_pull_policy: str = "IfNotPresent"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    resize_policy: tuple[ResizePolicy, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[VolumeDevice, ...] = ()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    security_context: SecurityContext = SecurityContext()
    restart_policy: str | None = None
    """Always: a sidecar, where this is an init container."""
    restart_policy_rules: tuple[RestartRule, ...] = ()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    target_container_name: str = ""
    """Of an ephemeral container: the one whose processes it sees."""

    @property
    def sidecar(self) -> bool:
        """Whether an init container keeps running beside the others. Only asked of init containers."""
        return self.restart_policy == "Always"


class HostAlias(Part, frozen=True):
    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(Part, frozen=True):
    name: str
    value: str | None = None


class PodDnsConfig(Part, frozen=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class ReadinessGate(Part, frozen=True):
    condition_type: str


class LocalReference(Part, frozen=True):
    name: str = ""


class KeyToPath(Part, frozen=True):
    key: str
    path: str
    mode: int | None = None


class EmptyDirSource(Part, frozen=True):
    medium: str = ""
    size_limit: str | int | float | None = None


class HostPathSource(Part, frozen=True):
    path: str
    type: str = ""


class ConfigMapSource(Part, frozen=True):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    """None inside a projected volume, whose own mode counts."""
    optional: bool = False


class SecretSource(Part, frozen=True):
    secret_name: str = ""
    name: str = ""
    """What a projected volume calls `secretName`."""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int | None = None
    optional: bool = False


class DownwardFile(Part, frozen=True):
    path: str
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardSource(Part, frozen=True):
    items: tuple[DownwardFile, ...] = ()
    default_mode: int | None = None


class ServiceAccountTokenSource(Part, frozen=True):
    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Part, frozen=True):
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward: DownwardSource | None = msgspec.field(name="downwardAPI", default=None)
    service_account_token: ServiceAccountTokenSource | None = None


class ProjectedSource(Part, frozen=True):
    sources: tuple[Projection, ...] = ()
    default_mode: int | None = None


class ClaimSource(Part, frozen=True):
    claim_name: str
    read_only: bool = False


class EphemeralSource(Part, frozen=True):
    """Its template is the control plane's business."""


class ImageSource(Part, frozen=True):
    reference: str = ""
    pull_policy: str = "IfNotPresent"


class Volume(Part, frozen=True):
    """One of the sources is set."""

    name: str
    empty_dir: EmptyDirSource | None = None
    host_path: HostPathSource | None = None
    config_map: ConfigMapSource | None = None
    secret: SecretSource | None = None
    downward: DownwardSource | None = msgspec.field(name="downwardAPI", default=None)
    projected: ProjectedSource | None = None
    claim: ClaimSource | None = msgspec.field(name="persistentVolumeClaim", default=None)
    ephemeral: EphemeralSource | None = None
    image: ImageSource | None = None

    @property
    def read_only(self) -> bool:
        """Whatever its mounts say."""
        return self.image is not None or (self.claim is not None and self.claim.read_only)


class PodSpec(Part, frozen=True):
    node_name: str = ""
    node_selector: dict[str, str] = {}
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int | None = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig = PodDnsConfig()
    service_account_name: str = ""
    enable_service_links: bool = True
    host_network: bool = False
    host_pid: bool = msgspec.field(name="hostPID", default=False)
    host_ipc: bool = msgspec.field(name="hostIPC", default=False)
    host_users: bool | None = None
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: tuple[LocalReference, ...] = ()
    hostname: str = ""
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(name="setHostnameAsFQDN", default=False)
    host_aliases: tuple[HostAlias, ...] = ()
    hostname_override: str | None = None
    priority: int | None = None
    runtime_class_name: str | None = None
    readiness_gates: tuple[ReadinessGate, ...] = ()
    overhead: Quantities = {}
    resources: ResourceRequirements | None = None
    """What all containers together may use, where the pod says so itself."""


class Pod(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PodSpec = PodSpec()
    status: Object = {}

    @property
    def phase(self) -> str:
        return str(self.status.get("phase", ""))

    @property
    def terminal(self) -> bool:
        """Whether the API already says that it will never run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def long_name(self) -> str:
        """`name_namespace(uid)`, as upstream's messages name pods."""
        meta = self.metadata
        return f"{meta.name}_{meta.namespace}({meta.uid})"

    def all_containers(self) -> Iterator[Container]:
        """Those that the pod was made with: without the ephemeral ones."""
        yield from self.spec.init_containers
        yield from self.spec.containers

    def container(self, name: str) -> Container | None:
        everyone = (*self.all_containers(), *self.spec.ephemeral_containers)
        return next((entry for entry in everyone if entry.name == name), None)

    @property
    def grace_seconds(self) -> int:
        """How long the containers may take to end: the deletion's grace where it is being deleted."""
        if self.metadata.deletion_grace_period_seconds is not None:
            return self.metadata.deletion_grace_period_seconds
        granted = self.spec.termination_grace_period_seconds
        return 30 if granted is None else granted


Pod.API = Resource("", "v1", "pods", "Pod", True, Pod)


def field_path(pod: Pod, name: str) -> str:
    """`spec.containers{web}`: the place of a container in events about its pod."""
    field = "containers"
    if any(entry.name == name for entry in pod.spec.init_containers):
        field = "initContainers"
    elif any(entry.name == name for entry in pod.spec.ephemeral_containers):
        field = "ephemeralContainers"
    return f"spec.{field}{{{name}}}"
