"""Jobs: pods that run to completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kplane.api import names
from kplane.api.field import ROOT, FieldError, Path
from kplane.api.resource import Object
from kplane.api.selectors import SelectorError, from_label_selector

from .immutable import non_negative, unchanged
from .jobpolicies import default_policies, validate_limits, validate_policies
from .jobstatuses import is_true, validate_job_status
from .kindwarnings import name_warnings
from .labels import validate_domain_path, validate_selector
from .podspec.defaults import default_template
from .podspec.validation import validate_template
from .podspec.warnings import pod_warnings
from .status import StatusStrategy
from .strategy import changed
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
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")
_MANY, _LONG, _WIDE = 100_000, 63, 10_000
"""Completions that are many; the length of a manager's name; how wide a Job with many may be."""


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
        default_policies(spec)
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
        yield from _validate_generated(obj, here)
        selector = spec.get("selector")
        if selector is None:
            yield here.selector.required()
        else:
            yield from validate_selector(selector, here.selector)
            yield from validate_match(selector, spec["template"], here.template)
        if spec.get("completionMode") == "Indexed" and (completions := spec.get("completions") or 0) > 0:
            name = obj["metadata"].get("name", "")
            last = f"{name}-{completions - 1}"
            if names.dns_label(last):
                text = f"will not able to create pod with invalid DNS label: {last}"
                yield path.metadata.name.invalid(name, text)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"], old["spec"]
        yield from _validate_completions(now, was, path.spec)
        for name in _FIXED:
            yield from unchanged(now.get(name), was.get(name), path.spec.child(name))
        template = now.get("template")
        if was.get("suspend") and _is_at_rest(old.get("status") or {}):
            template = _with_directives(template or {}, was.get("template") or {})
        if template != was.get("template"):
            yield path.spec.template.invalid(now.get("template"), "field is immutable")

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new.get("status") or {}, old.get("status") or {}
        yield from validate_job_status(now, was, new["spec"], path.status)

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from name_warnings(obj)
        yield from job_warnings(obj["spec"], ROOT.spec)

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        if changed(new, old):
            yield from job_warnings(new["spec"], ROOT.spec)

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


def _validate_generated(obj: Object, path: Path) -> Iterator[FieldError]:
    """Labels that the client gave must be those that the server would have given."""
    spec, meta = obj["spec"], obj["metadata"]
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    uid, name = meta.get("uid", ""), meta.get("name", "")
    wanted = {_OLD_LABELS[0]: uid, _OLD_LABELS[1]: name, UID_LABEL: uid, NAME_LABEL: name}
    if "resourceVersion" in meta and not labels.keys() >= {UID_LABEL, NAME_LABEL}:
        # It was made before these labels were.
        wanted = {_OLD_LABELS[0]: uid, _OLD_LABELS[1]: name}
    for label, value in wanted.items():
        here = path.template.metadata.labels[label]
        if label not in labels:
            yield here.required(f"must be '{value}'")
        elif labels[label] != value:
            yield here.invalid(labels, f"must be '{value}'")
    try:
        fits = from_label_selector(selector).matches(wanted)
    except SelectorError:
        return
    if not fits:
        yield path.selector.invalid(selector, "`selector` not auto-generated")


def _validate_completions(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    """An Indexed Job may be resized as long as completions and parallelism move together."""
    now, was = new.get("completions"), old.get("completions")
    if new.get("completionMode") != "Indexed":
        yield from unchanged(now, was, path.completions)
    elif now is not None and now not in (was, new.get("parallelism")):
        # Upstream names the field from the root of the spec.
        yield path.completions.invalid(now, "can only be modified in tandem with spec.parallelism")


def _is_at_rest(status: Object) -> bool:
    """Whether nothing of a suspended Job runs."""
    return not status.get("active") and (not status.get("startTime") or is_true(status, "Suspended"))


def _with_directives(new: Object, old: Object) -> Object:
    """The new template with what may change while the Job is suspended as the old one has it: where its pods
    may run, and what their containers ask for."""
    spec, was = dict(new.get("spec") or {}), old.get("spec") or {}
    for name in _DIRECTIVES:
        _restore(spec, was, name)
    affinity, before = dict(spec.get("affinity") or {}), was.get("affinity") or {}
    _restore(affinity, before, "nodeAffinity")
    spec.pop("affinity", None)
    if affinity or "affinity" in was:
        spec["affinity"] = affinity
    for name in ("containers", "initContainers"):
        olds = was.get(name) or []
        if len(spec.get(name) or ()) == len(olds) > 0:
            spec[name] = [dict(container) for container in spec[name]]
            for container, old_one in zip(spec[name], olds, strict=True):
                _restore(container, old_one, "resources")
    metadata = dict(new.get("metadata") or {})
    for name in ("labels", "annotations"):
        _restore(metadata, old.get("metadata") or {}, name)
    result = {**new, "spec": spec}
    if metadata or "metadata" in old:
        result["metadata"] = metadata
    return result


def _restore(new: Object, old: Object, name: str) -> None:
    new.pop(name, None)
    if name in old:
        new[name] = old[name]


def job_warnings(spec: Object, path: Path) -> Iterator[str]:
    """Of a Job's spec, or of a CronJob's template of one."""
    many = (spec.get("completions") or 0) > _MANY and (spec.get("parallelism") or 0) > _WIDE
    if spec.get("completionMode") == "Indexed" and many:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher"
            " than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes"
            " fail"
        )
    yield from pod_warnings(spec.get("template") or {}, path.template)


def validate_job_spec(spec: Object, path: Path) -> Iterator[FieldError]:
    """What holds for a Job and for a CronJob's template of one."""
    yield from non_negative(spec, path, *_COUNTS)
    if (manager := spec.get("managedBy")) is not None:
        yield from validate_domain_path(manager, path.managedBy)
        if len(manager) > _LONG:
            yield path.managedBy.too_long(_LONG)
    yield from _validate_mode(spec, path)
    yield from validate_policies(spec, path)
    yield from validate_template(spec.get("template") or {}, path.template)
    restart = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy", "")
    here = path.template.spec.restartPolicy
    if restart in ("", "Always"):
        yield here.required('valid values: "OnFailure", "Never"')
    elif restart not in ("OnFailure", "Never"):
        yield here.not_supported(restart, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and restart != "Never":
        yield here.invalid(restart, 'only "Never" is supported when podFailurePolicy is specified')


def _validate_mode(spec: Object, path: Path) -> Iterator[FieldError]:
    mode = spec.get("completionMode")
    if mode not in (None, "NonIndexed", "Indexed"):
        yield path.completionMode.not_supported(mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        yield path.completions.required("when completion mode is Indexed")
    if mode == "Indexed":
        yield from validate_limits(spec, path)
    if mode in (None, "NonIndexed"):
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(name) is not None:
                yield path.child(name).invalid(spec[name], "requires indexed completion mode")
