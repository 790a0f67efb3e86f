"""The container runtime as the kubelet sees it: CRI's vocabulary as plain values, and the Protocol.

Owns: the shapes and errors that `cri.py` and `hollow.py` share; both pass the same contract tests.
Times are nanoseconds since the epoch (CRI's), 0 for "not yet". Ids are the runtime's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class RuntimeFailure(Exception):
    """The runtime refused or failed; the message is worded as gRPC errors are in upstream's messages."""


class RuntimeUnavailable(RuntimeFailure):
    """Nobody answers at the endpoint."""


class NoSuchThing(RuntimeFailure):
    """The sandbox, container or image does not exist."""


class Unsupported(RuntimeFailure):
    """The runtime lacks this call."""


class Namespace(Enum):
    """Whose Linux namespace a container uses (CRI NamespaceMode)."""

    POD = 0
    CONTAINER = 1
    NODE = 2
    TARGET = 3


class ContainerState(Enum):
    CREATED = 0
    RUNNING = 1
    EXITED = 2
    UNKNOWN = 3


class Propagation(Enum):
    PRIVATE = 0
    HOST_TO_CONTAINER = 1
    BIDIRECTIONAL = 2


@dataclass(frozen=True, slots=True)
class Namespaces:
    network: Namespace = Namespace.POD
    pid: Namespace = Namespace.CONTAINER
    ipc: Namespace = Namespace.POD
    target: str = ""
    """The id of the container whose namespace it is, for TARGET."""


@dataclass(frozen=True, slots=True)
class Seccomp:
    """`kind`: RuntimeDefault, Unconfined or Localhost (then `file` is the profile's path)."""

    kind: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Security:
    """Who a process is and what it may do; in a sandbox's configuration only some fields count."""

    namespaces: Namespaces = Namespaces()
    user: int | None = None
    group: int | None = None
    username: str = ""
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    readonly_rootfs: bool = False
    no_new_privs: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: Seccomp | None = None
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """cgroup limits; 0 leaves the kernel's default."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory_bytes: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True)
class PortMapping:
    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Dns:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns: Dns | None = None
    ports: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    security: Security = Security()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""
    """How the runtime is to run it; empty for its own choice."""


@dataclass(frozen=True, slots=True)
class Mount:
    container_path: str
    host_path: str
    readonly: bool = False
    propagation: Propagation = Propagation.PRIVATE
    recursive_readonly: bool = False
    image: str = ""
    """Instead of `host_path`: an image whose files, from `image_path` on, are mounted."""
    image_path: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    container_path: str
    host_path: str
    permissions: str = "mrw"


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    name: str
    image: str
    """What `pull_image` or `image` returned as reference."""
    attempt: int = 0
    user_image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Not in the repr: values may come from Secrets."""
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: Security = Security()
    stop_signal: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    ready: bool
    created_at: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ips: tuple[str, ...] = ()
    """Only in `sandbox_status`."""
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """What `list_containers` tells."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    image_ref: str
    created_at: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """What `container_status` tells of one container."""

    id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: int
    started_at: int
    finished_at: int
    exit_code: int
    reason: str
    message: str
    image: str
    image_ref: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    log_path: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None
    """uid, gid and supplemental groups, where the runtime tells them."""


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    uid: int | None = None
    username: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class RuntimeCondition:
    """`RuntimeReady` or `NetworkReady`."""

    type: str
    status: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class ContainerStats:
    id: str
    name: str
    pod_uid: str
    timestamp: int
    cpu_nanoseconds: int
    memory_working_set: int
    memory_usage: int
    memory_rss: int
    writable_layer_bytes: int


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of an image registry."""

    username: str = ""
    password: str = field(default="", repr=False)
    server: str = ""


class Runtime(Protocol):
    """One container runtime. Every method raises RuntimeFailure or one of its kinds.

    Stopping and removing what is gone already is no failure.
    """

    scheme: str
    """What stands before `://` in containerID, e.g. `containerd`; known after `version`."""

    async def version(self) -> RuntimeVersion: ...

    async def conditions(self) -> Sequence[RuntimeCondition]: ...

    async def set_pod_cidr(self, cidr: str) -> None:
        """Tell the runtime which addresses are this node's (it may write its CNI configuration with it)."""

    async def run_sandbox(self, config: SandboxConfig) -> str:
        """Create and start the sandbox; return its id."""

    async def stop_sandbox(self, sandbox: str) -> None:
        """End its containers and take down its network."""

    async def remove_sandbox(self, sandbox: str) -> None:
        """Remove it and its containers."""

    async def sandbox_status(self, sandbox: str) -> Sandbox: ...

    async def list_sandboxes(self, pod_uid: str = "") -> Sequence[Sandbox]:
        """Those of one pod, or all of the node; without `ips`."""

    async def create_container(
        self, sandbox: str, config: ContainerConfig, sandbox_config: SandboxConfig
    ) -> str: ...

    async def start_container(self, container: str) -> None: ...

    async def stop_container(self, container: str, timeout: int) -> None:
        """SIGTERM (or the image's signal), and SIGKILL after `timeout` seconds; returns when it has ended."""

    async def remove_container(self, container: str) -> None: ...

    async def list_containers(self, pod_uid: str = "") -> Sequence[Container]: ...

    async def container_status(self, container: str) -> ContainerStatus: ...

    async def update_resources(self, container: str, resources: Resources) -> None: ...

    async def reopen_log(self, container: str) -> None:
        """The log file was moved away: write to a new one."""

    async def exec_sync(self, container: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run a command to its end. Raises TimeoutError after `timeout` seconds."""

    async def exec_url(
        self, container: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        """Address on the runtime's streaming server at which the command's streams are served, once."""

    async def attach_url(
        self, container: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str: ...

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str: ...

    async def stats(self) -> Sequence[ContainerStats]:
        """Of all running containers."""

    async def image(self, reference: str) -> Image | None:
        """The image that a reference names, if it is on this node."""

    async def pull_image(self, reference: str, auth: Auth | None = None) -> str:
        """Fetch it and return its id."""

    async def list_images(self) -> Sequence[Image]: ...

    async def remove_image(self, reference: str) -> None: ...

    def events(self) -> AsyncIterator[str]:
        """Uids of pods in which a container or sandbox changed. Raises Unsupported where the runtime
        has no events: then the kubelet looks by itself."""

    async def close(self) -> None: ...
