"""DaemonSets: one pod a node."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative, not_fewer, unchanged
from .podspec.defaults import default_template
from .status import StatusStrategy
from .workloads import (
    is_zero,
    validate_at_most_all,
    validate_pod_template,
    validate_share,
    validate_spec_selector,
)

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "observedGeneration",
    "collisionCount",
)


class DaemonSetStrategy(StatusStrategy):
    empty_status = {  # noqa: RUF012
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    pod_template = ("spec", "template")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("revisionHistoryLimit", 10)
        strategy = spec.setdefault("updateStrategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)
        default_template(spec.setdefault("template", {}))

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        _set_template_generation(obj, 1)

    def prepare_update(self, new: Object, old: Object) -> None:
        count = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "1"))
        changed = new["spec"].get("template") != old["spec"].get("template")
        _set_template_generation(new, count + 1 if changed else count)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from validate_spec_selector(spec, "daemonset", here)
        yield from validate_pod_template(spec, "DaemonSet", here)
        yield from non_negative(spec, here, "minReadySeconds", "revisionHistoryLimit")
        yield from _validate_strategy(spec["updateStrategy"], here.updateStrategy)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new["spec"].get("selector"), old["spec"].get("selector"), path.spec.selector)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new.get("status") or {}, old.get("status") or {}
        yield from non_negative(now, path.status, *_COUNTS)
        yield from not_fewer("collisionCount", now, was, path.status)


def _set_template_generation(obj: Object, count: int) -> None:
    obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(count)


def _validate_strategy(strategy: Object, path: Path) -> Iterator[FieldError]:
    if strategy["type"] == "OnDelete":
        return
    if strategy["type"] != "RollingUpdate":
        yield path.type.not_supported(strategy["type"], ("RollingUpdate", "OnDelete"))
        return
    rolling, here = strategy.get("rollingUpdate") or {}, path.rollingUpdate
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from validate_share(value, here.child(name))
        yield from validate_at_most_all(value, here.child(name))
    if is_zero(unavailable) and is_zero(surge):
        yield here.maxUnavailable.invalid(unavailable, "cannot be 0 when maxSurge is 0")
    elif not is_zero(unavailable) and not is_zero(surge):
        yield here.maxSurge.invalid(surge, "may not be set when maxUnavailable is non-zero")
