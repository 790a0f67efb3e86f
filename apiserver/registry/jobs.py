"""Jobs: pods that run to completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import non_negative, unchanged
from .jobpolicies import validate_policies
from .labels import validate_selector
from .podspec.defaults import default_template
from .podspec.validation import validate_template
from .status import StatusStrategy
from .workloads import validate_match

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_OLD_LABELS = ("controller-uid", "job-name")
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_FIXED = (
    "selector",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
)
_DIRECTIVES = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


class JobStrategy(StatusStrategy):
    orphans_by_default = True
    selectable = ("status.successful",)
    unselectable = 'field label "{field}" not supported for batchv1.Job'

    pod_template = ("spec", "template")

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if "completions" not in spec and "parallelism" not in spec:
            spec["completions"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        spec.setdefault(
            "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
        )
        spec.setdefault("manualSelector", False)
        if not spec["manualSelector"]:
            del spec["manualSelector"]
        template = spec.setdefault("template", {})
        default_template(template)
        labels = template["metadata"].get("labels")
        if labels and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        if not obj["spec"].get("manualSelector"):
            _generate_selector(obj)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from validate_job_spec(spec, here)
        selector = spec.get("selector")
        if selector is None:
            yield here.selector.required()
        else:
            yield from validate_selector(selector, here.selector)
            yield from validate_match(selector, spec["template"], here.template)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"], old["spec"]
        if not _is_elastic(now, was):
            yield from unchanged(now.get("completions"), was.get("completions"), path.spec.completions)
        for name in _FIXED:
            yield from unchanged(now.get(name), was.get(name), path.spec.child(name))
        template = now.get("template")
        if was.get("suspend") and not (old.get("status") or {}).get("startTime"):
            template = _with_directives(template or {}, was.get("template") or {})
        if template != was.get("template"):
            yield path.spec.template.invalid(now.get("template"), "field is immutable")

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from non_negative(
            new.get("status") or {}, path.status, "active", "succeeded", "failed", "ready", "terminating"
        )

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.successful": str((obj.get("status") or {}).get("succeeded", 0))}


def _generate_selector(obj: Object) -> None:
    """Every Job selects by its own uid."""
    metadata, spec = obj["metadata"], obj["spec"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for key, value in ((UID_LABEL, metadata["uid"]), (NAME_LABEL, metadata["name"])):
        labels.setdefault(key, value)
    for key, value in zip(_OLD_LABELS, (metadata["uid"], metadata["name"]), strict=True):
        labels.setdefault(key, value)
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {}).setdefault(UID_LABEL, metadata["uid"])


def _is_elastic(new: Object, old: Object) -> bool:
    """An Indexed Job may be resized as long as completions and parallelism move together."""
    return (
        old.get("completionMode") == "Indexed"
        and new.get("completionMode") == "Indexed"
        and new.get("completions") == new.get("parallelism")
        and new.get("completions") is not None
    )


def _with_directives(new: Object, old: Object) -> Object:
    """The new template with the old one's scheduling directives, which may change while suspended."""
    spec = dict(new.get("spec") or {})
    for name in _DIRECTIVES:
        spec.pop(name, None)
        if name in (old.get("spec") or {}):
            spec[name] = old["spec"][name]
    return {**new, "spec": spec, "metadata": old.get("metadata", {})}


def validate_job_spec(spec: Object, path: Path) -> Iterator[FieldError]:
    """What holds for a Job and for a CronJob's template of one."""
    yield from non_negative(spec, path, *_COUNTS)
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        yield path.completionMode.not_supported(mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        yield path.completions.required("when completion mode is Indexed")
    if mode != "Indexed" and spec.get("backoffLimitPerIndex") is not None:
        yield path.backoffLimitPerIndex.invalid(
            spec["backoffLimitPerIndex"], "requires indexed completion mode"
        )
    replacement = spec.get("podReplacementPolicy")
    if replacement not in (None, "Failed", "TerminatingOrFailed"):
        yield path.podReplacementPolicy.not_supported(replacement, ("Failed", "TerminatingOrFailed"))
    yield from validate_policies(spec, path)
    yield from validate_template(spec.get("template") or {}, path.template)
    restart = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    if restart == "Always":
        yield path.template.spec.restartPolicy.required('valid values: "OnFailure", "Never"')
    if spec.get("podFailurePolicy") and restart != "Never":
        yield path.template.spec.restartPolicy.invalid(
            restart, 'only "Never" is supported when podFailurePolicy is specified'
        )
