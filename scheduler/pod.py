"""A Pod as the scheduler sees it: everything that plug-ins ask for, worked out once.

Reads: the Pod view. Pure values; a changed Pod gets a new PodInfo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.api.types.core import NodeSelector, PreferredSchedulingTerm, Toleration

from .requests import Requests, pod_requests, scoring_requests
from .taints import Taint, tolerates

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - compared with, never bound


class HostPort(NamedTuple):
    """A port that a container takes on the node itself; `ip` is ALL_ADDRESSES unless it names one."""

    protocol: str
    port: int
    ip: str


@dataclass(frozen=True, slots=True, eq=False)
class PodInfo:
    """One state of one Pod. `requests` holds only what is asked for; CPU in thousandths."""

    pod: Pod
    requests: Requests
    scoring: tuple[int, int]
    """CPU and memory with defaults for containers that ask for nothing."""
    host_ports: tuple[HostPort, ...]
    required: NodeSelector | None
    """Terms of the required node affinity, None where there are none."""
    preferred: tuple[PreferredSchedulingTerm, ...]

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid

    @property
    def key(self) -> Key:
        return self.pod.key

    @property
    def priority(self) -> int:
        return self.pod.spec.priority or 0

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        return self.pod.spec.tolerations

    def tolerates(self, taint: Taint) -> bool:
        return tolerates(self.tolerations, taint)


def describe(pod: Pod) -> PodInfo:
    """Work out what the plug-ins will ask for."""
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    return PodInfo(
        pod,
        pod_requests(pod),
        scoring_requests(pod),
        tuple(_host_ports(pod)),
        affinity.required if affinity else None,
        affinity.preferred if affinity else (),
    )


def _host_ports(pod: Pod) -> list[HostPort]:
    sidecars = [entry for entry in pod.spec.init_containers if entry.restart_policy == "Always"]
    return [
        HostPort(port.protocol or "TCP", port.host_port, port.host_ip or ALL_ADDRESSES)
        for container in (*sidecars, *pod.spec.containers)
        for port in container.ports
        if port.host_port > 0
    ]
