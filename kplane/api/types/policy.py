"""Views of policy/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.types.meta import Condition, LabelSelector, Part, View


class PodDisruptionBudgetSpec(Part, frozen=True):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None


class PodDisruptionBudgetStatus(Part, frozen=True):
    observed_generation: int = 0
    disrupted_pods: dict[str, datetime] | None = None
    """Pod -> when its eviction was granted; those that are not known to be gone yet."""
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


PodDisruptionBudget.API = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, PodDisruptionBudget
)
