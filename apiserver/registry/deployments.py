"""Deployments: rollout strategy, limits, selector."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative, not_fewer, unchanged
from .kindwarnings import name_warnings
from .podspec.defaults import default_template
from .status import StatusStrategy
from .strategy import changed
from .workloads import (
    is_zero,
    validate_at_most_all,
    validate_counts,
    validate_pod_template,
    validate_share,
    validate_spec_selector,
)

_TYPES = ("Recreate", "RollingUpdate")


class DeploymentStrategy(StatusStrategy):
    pod_template = ("spec", "template")

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from name_warnings(obj)
        yield from super().warnings(obj)

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        if changed(new, old):
            yield from super().warnings(new)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")
        default_template(spec.setdefault("template", {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from non_negative(spec, here, "replicas")
        yield from validate_spec_selector(spec, "deployment", here)
        yield from validate_pod_template(spec, "ReplicaSet", here)
        yield from _validate_strategy(spec["strategy"], here.strategy)
        yield from non_negative(spec, here, "minReadySeconds", "revisionHistoryLimit")
        deadline = spec.get("progressDeadlineSeconds")
        if deadline is not None:
            yield from non_negative(spec, here, "progressDeadlineSeconds")
            if deadline <= spec.get("minReadySeconds", 0):
                yield here.progressDeadlineSeconds.invalid(deadline, "must be greater than minReadySeconds")

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new["spec"].get("selector"), old["spec"].get("selector"), path.spec.selector)

    def prepare_status(self, new: Object, old: Object) -> None:
        """Of all kinds, only this one's labels are not the status's business."""
        new["metadata"].pop("labels", None)
        if "labels" in old["metadata"]:
            new["metadata"]["labels"] = old["metadata"]["labels"]

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status, here = new.get("status") or {}, path.status
        yield from validate_counts(
            status, here, "updatedReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas"
        )
        yield from non_negative(status, here, "unavailableReplicas", "observedGeneration", "collisionCount")
        if status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
            yield here.availableReplicas.invalid(
                status["availableReplicas"], "cannot be greater than readyReplicas"
            )
        yield from not_fewer("collisionCount", status, old.get("status") or {}, here)


def _validate_strategy(strategy: Object, path: Path) -> Iterator[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            yield path.rollingUpdate.forbidden("may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        yield from _validate_rolling(rolling or {}, path.rollingUpdate)
    else:
        yield path.not_supported(strategy, _TYPES)


def _validate_rolling(rolling: Object, path: Path) -> Iterator[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    yield from validate_share(unavailable, path.maxUnavailable)
    yield from validate_share(surge, path.maxSurge)
    if is_zero(unavailable) and is_zero(surge):
        yield path.maxUnavailable.invalid(unavailable, "may not be 0 when `maxSurge` is 0")
    yield from validate_at_most_all(unavailable, path.maxUnavailable)
