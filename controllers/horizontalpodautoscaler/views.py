"""What the autoscaler reads of an autoscaler object; metrics stay as they are on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Object, Resource
from kplane.api.types.meta import Condition, Part, View


class Target(Part, frozen=True):
    kind: str = ""
    name: str = ""
    api_version: str = ""


class Policy(Part, frozen=True):
    type: str
    value: int
    period_seconds: int


class Rules(Part, frozen=True):
    """How fast one direction may go."""

    stabilization_window_seconds: int | None = None
    select_policy: str | None = None
    policies: tuple[Policy, ...] | None = None
    tolerance: str | int | float | None = None


class Behavior(Part, frozen=True):
    scale_up: Rules | None = None
    scale_down: Rules | None = None


class Spec(Part, frozen=True):
    scale_target_ref: Target = Target()
    min_replicas: int | None = None
    max_replicas: int = 1
    metrics: tuple[Object, ...] | None = None
    behavior: Behavior | None = None


class Status(Part, frozen=True):
    observed_generation: int | None = None
    last_scale_time: datetime | None = None
    current_replicas: int = 0
    desired_replicas: int = 0
    current_metrics: tuple[Object, ...] | None = None
    conditions: tuple[Condition, ...] = ()


class HorizontalPodAutoscaler(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: Spec = Spec()
    status: Status = Status()


class ScaleSpec(Part, frozen=True):
    replicas: int = 0


class ScaleStatus(Part, frozen=True):
    replicas: int = 0
    selector: str = ""


class Scale(View, frozen=True):
    """The answer of a scale subresource."""

    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


HorizontalPodAutoscaler.API = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, HorizontalPodAutoscaler
)
