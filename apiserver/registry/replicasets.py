"""ReplicaSets, and ReplicationControllers, their ancestors: a number of pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative, unchanged
from .kindwarnings import name_warnings
from .podspec.defaults import default_template
from .status import StatusStrategy
from .strategy import changed
from .workloads import validate_counts, validate_pod_template, validate_spec_selector

_COUNTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas")


class ReplicaSetStrategy(StatusStrategy):
    empty_status = {"replicas": 0}  # noqa: RUF012
    selectable = ("status.replicas",)

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
        default_template(spec.setdefault("template", {}))

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from non_negative(spec, here, "replicas", "minReadySeconds")
        # Upstream says deployment here as well.
        yield from validate_spec_selector(spec, "deployment", here)
        yield from validate_pod_template(spec, "ReplicaSet", here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new["spec"].get("selector"), old["spec"].get("selector"), path.spec.selector)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status, here = new.get("status") or {}, path.status
        yield from validate_counts(status, here, *_COUNTS)
        yield from non_negative(status, here, "observedGeneration")
        if status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
            yield here.availableReplicas.invalid(
                status["availableReplicas"], "cannot be greater than readyReplicas"
            )

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}


class ReplicationControllerStrategy(ReplicaSetStrategy):
    """Its selector is a plain map, by default the template's labels."""

    orphans_by_default = True

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        if (template := spec.get("template")) is None:
            return
        default_template(template)
        if labels := (template.get("metadata") or {}).get("labels"):
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from non_negative(spec, here, "minReadySeconds")
        selector = spec.get("selector")
        if not selector:
            yield here.selector.required()
        yield from non_negative(spec, here, "replicas")
        if spec.get("template") is None:
            yield here.template.required()
            return
        view = {**spec, "selector": {"matchLabels": selector or {}}}
        yield from validate_pod_template(view, "ReplicationController", here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from ()
