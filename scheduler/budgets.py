"""PodDisruptionBudgets as preemption asks for them."""

from __future__ import annotations

from typing import Any, ClassVar

from kplane.api.resource import Resource
from kplane.api.selectors import from_label_selector
from kplane.api.types.meta import LabelSelector, Part, View

from .preemption import Budget


class PodDisruptionBudgetSpec(Part, frozen=True):
    selector: LabelSelector | None = None


class PodDisruptionBudgetStatus(Part, frozen=True):
    disruptions_allowed: int = 0
    disrupted_pods: dict[str, Any] = {}  # noqa: RUF012 msgspec copies it


class PodDisruptionBudget(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


PodDisruptionBudget.API = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, PodDisruptionBudget
)


def budget(view: PodDisruptionBudget) -> Budget:
    return Budget(
        view.metadata.namespace,
        from_label_selector(view.spec.selector),
        view.status.disruptions_allowed,
        frozenset(view.status.disrupted_pods),
    )
