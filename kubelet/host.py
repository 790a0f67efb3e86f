"""What all pods of one node share: the node's parts, handed to every pod worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kplane.api.clock import Clock, Entropy
from kplane.api.types import Service
from kplane.client.events import EventRecorder
from kplane.client.rest import Client

from .config import KubeletConfig
from .disk import Disk
from .handlers import Network
from .images import ImageManager
from .objects import ObjectCache
from .pod import Pod, field_path
from .runtime.interface import Dns, Runtime
from .runtimeclass import RuntimeClass
from .status_manager import StatusManager


@dataclass
class Host:
    config: KubeletConfig
    client: Client
    runtime: Runtime
    clock: Clock
    entropy: Entropy
    events: EventRecorder
    statuses: StatusManager
    images: ImageManager
    objects: ObjectCache
    disk: Disk
    network: Network
    services: Callable[[], Sequence[Service]]
    """Services of which pods learn through variables."""
    runtime_classes: Callable[[], Sequence[RuntimeClass]] = tuple
    dns: Dns = field(default_factory=Dns)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory: int = 0
    """The node's capacity in bytes."""
    expect_soon: Callable[[], None] = lambda: None
    """Tells the event source that something was started, which may end at once."""

    def tell(
        self, pod: Pod, container: str, kind: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None:
        """Record an event about a pod, or about one of its containers."""
        place = field_path(pod, container) if container else ""
        self.events.event(pod, kind, reason, message, field_path=place)
