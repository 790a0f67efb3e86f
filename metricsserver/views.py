"""What the metrics server reads of Pods."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Part, View


class Container(Part, frozen=True):
    name: str
    restart_policy: str = ""


class PodSpec(Part, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""


class PodStatus(Part, frozen=True):
    phase: str = ""


class Pod(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the containers that run as long as it does: sidecars, too."""
        sidecars = (entry.name for entry in self.spec.init_containers if entry.restart_policy == "Always")
        return (*sidecars, *(entry.name for entry in self.spec.containers))


Pod.API = Resource("", "v1", "pods", "Pod", True, Pod)
