"""Views of apps/v1, and of ReplicationController, which is a ReplicaSet of the core group."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from kplane.api.resource import Object, Resource
from kplane.api.types.meta import Condition, LabelSelector, Part, View


class ReplicaSetSpec(Part, frozen=True):
    replicas: int = 1
    min_ready_seconds: int = 0
    selector: LabelSelector = LabelSelector()
    template: Object = {}
    """The pod template as written: it is copied into Pods, never interpreted."""


class ReplicaSetStatus(Part, frozen=True):
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class ReplicationControllerSpec(ReplicaSetSpec, frozen=True):
    selector: LabelSelector = msgspec.field(name="labelSelector", default=LabelSelector())
    """Not on the wire: `labels` in the form that ReplicaSets have."""
    labels: dict[str, str] = msgspec.field(name="selector", default={})

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "selector", LabelSelector(match_labels=self.labels))


class ReplicationController(ReplicaSet, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: ReplicationControllerSpec = ReplicationControllerSpec()


class RollingUpdate(Part, frozen=True):
    max_surge: int | str | None = None
    max_unavailable: int | str | None = None


class DeploymentStrategy(Part, frozen=True):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Part, frozen=True):
    replicas: int = 1
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    progress_deadline_seconds: int | None = None
    paused: bool = False
    selector: LabelSelector = LabelSelector()
    strategy: DeploymentStrategy = DeploymentStrategy()
    template: Object = {}


class DeploymentStatus(Part, frozen=True):
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    terminating_replicas: int | None = None
    observed_generation: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()


class Deployment(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ControllerRevision(View, frozen=True):
    """A template that a StatefulSet or DaemonSet has had."""

    API: ClassVar[Resource[Any]]

    data: Object = {}
    """A strategic merge patch that brings the template back: `{"spec": {"template": …}}`."""
    revision: int = 0


class StatefulSetRollingUpdate(Part, frozen=True):
    partition: int = 0
    max_unavailable: int | str | None = None


class StatefulSetUpdateStrategy(Part, frozen=True):
    type: str = "RollingUpdate"
    rolling_update: StatefulSetRollingUpdate | None = None


class StatefulSetOrdinals(Part, frozen=True):
    start: int = 0


class ClaimRetentionPolicy(Part, frozen=True):
    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


class StatefulSetSpec(Part, frozen=True):
    replicas: int = 1
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    service_name: str = ""
    pod_management_policy: str = "OrderedReady"
    selector: LabelSelector = LabelSelector()
    template: Object = {}
    update_strategy: StatefulSetUpdateStrategy = StatefulSetUpdateStrategy()
    ordinals: StatefulSetOrdinals | None = None
    volume_claim_templates: tuple[Object, ...] = ()
    """As written: they are copied into PersistentVolumeClaims, never interpreted."""
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy | None = None


class StatefulSetStatus(Part, frozen=True):
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    observed_generation: int = 0
    collision_count: int | None = None


class StatefulSet(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()


class DaemonSetUpdateStrategy(Part, frozen=True):
    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DaemonSetSpec(Part, frozen=True):
    min_ready_seconds: int = 0
    revision_history_limit: int | None = None
    selector: LabelSelector = LabelSelector()
    template: Object = {}
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()


class DaemonSetStatus(Part, frozen=True):
    current_number_scheduled: int = 0
    number_misscheduled: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    number_unavailable: int = 0
    observed_generation: int = 0
    collision_count: int | None = None


class DaemonSet(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


ReplicaSet.API = Resource("apps", "v1", "replicasets", "ReplicaSet", True, ReplicaSet)
ReplicationController.API = Resource(
    "", "v1", "replicationcontrollers", "ReplicationController", True, ReplicationController
)
Deployment.API = Resource("apps", "v1", "deployments", "Deployment", True, Deployment)
ControllerRevision.API = Resource(
    "apps", "v1", "controllerrevisions", "ControllerRevision", True, ControllerRevision
)
StatefulSet.API = Resource("apps", "v1", "statefulsets", "StatefulSet", True, StatefulSet)
DaemonSet.API = Resource("apps", "v1", "daemonsets", "DaemonSet", True, DaemonSet)
