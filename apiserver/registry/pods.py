"""Pods: defaults, validation, what may change, graceful deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from kplane.api import names
from kplane.api.field import ROOT, FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .kindwarnings import pod_status_warnings
from .podspec import apparmor
from .podspec.defaults import default_pod, mirror_service_account
from .podspec.ephemeral import keep_all_but_ephemeral, validate_ephemeral_update
from .podspec.qos import qos_class
from .podspec.resize import keep_all_but_resources, validate_resize
from .podspec.statuses import validate_addresses, validate_transitions
from .podspec.update import validate_spec_update
from .podspec.validation import validate_spec
from .podspec.warnings import pod_warnings
from .status import StatusStrategy
from .strategy import STATUS, Subresource

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
MIRROR = "kubernetes.io/config.mirror"
_COST = re.compile(r"0|-?[1-9][0-9]*", re.ASCII).fullmatch
_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "lastTransitionTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


class PodStrategy(StatusStrategy):
    subresources = (
        replace(STATUS, warnings=pod_status_warnings),
        Subresource(
            "ephemeralcontainers",
            (),
            shares=("spec",),
            restrict=keep_all_but_ephemeral,
            validate=validate_ephemeral_update,
        ),
        Subresource(
            "resize", (), shares=("spec",), restrict=keep_all_but_resources, validate=validate_resize
        ),
    )
    graceful = True
    selectable = (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    )
    fields_read = selectable
    aliases: Mapping[str, str] = MappingProxyType({"spec.host": "spec.nodeName"})

    warns_updates = False

    def default(self, obj: Object) -> None:
        default_pod(obj.setdefault("spec", {}))

    def prepare_create(self, obj: Object) -> None:
        spec = obj["spec"]
        # Admission may have named the service account.
        mirror_service_account(spec)
        _select_own_values(obj)
        if "annotations" in obj["metadata"]:
            apparmor.adopt(obj)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [dict(_GATED)]

    def prepare_status(self, new: Object, old: Object) -> None:
        was, now = old.get("status") or {}, new.setdefault("status", {})
        if not now.get("qosClass") and was.get("qosClass"):
            now["qosClass"] = was["qosClass"]

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec = obj["spec"]
        annotations = obj["metadata"].get("annotations")
        if annotations:
            yield from _validate_annotations(annotations, spec, path.metadata.annotations)
        yield from validate_spec(spec, path.spec, is_pod=True)
        if not spec.get("serviceAccountName"):
            yield from _validate_no_tokens(spec, path.spec.volumes)
        if "status" in obj and _is_new(obj):
            yield from _validate_new(spec, path.spec)
            if annotations:
                yield from apparmor.validate_same(annotations, spec, path.spec)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = (obj["metadata"].get("annotations") or {} for obj in (new, old))
        if now != was:
            yield from apparmor.validate_unchanged(now, was, path.metadata.annotations)
            yield from _validate_mirror(now, was, path.metadata.annotations)
        yield from validate_spec_update(new["spec"], old["spec"], path.spec)

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        status, before = new.get("status") or {}, old.get("status") or {}
        yield from validate_transitions(status, before, old.get("spec") or {}, path.status)
        yield from validate_addresses(status, path.status)
        for index, entry in enumerate(status.get("conditions") or ()):
            for text in names.qualified_name(entry.get("type", "")):
                yield path.status.conditions[index].type.invalid(entry.get("type", ""), text)
        nominated = status.get("nominatedNodeName")
        if nominated and nominated != before.get("nominatedNodeName"):
            for text in names.dns_subdomain(nominated):
                yield path.status.nominatedNodeName.invalid(nominated, text)
        if before.get("qosClass"):
            yield from unchanged(status.get("qosClass"), before["qosClass"], path.status.qosClass)

    def grace_period(self, obj: Object, asked: int | None) -> int:
        spec = obj["spec"]
        period: int = spec.get("terminationGracePeriodSeconds") or 0 if asked is None else asked
        phase = (obj.get("status") or {}).get("phase")
        if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
            return 0
        return period if period >= 0 else 1

    def early_warnings(self, obj: Object) -> Iterator[str]:
        return apparmor.adoption_warnings(obj) if "annotations" in obj["metadata"] else iter(())

    def warnings(self, obj: Object) -> Iterator[str]:
        name = obj["metadata"].get("name", "")
        if faults := names.dns_label(name):
            listed = " ".join(faults)
            yield (
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior;"
                f" a DNS label is recommended: [{listed}]"
            )
        yield from pod_warnings(obj, ROOT)

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec, status = obj["spec"], obj.get("status") or {}
        return {
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.restartPolicy": spec.get("restartPolicy", ""),
            "spec.schedulerName": spec.get("schedulerName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase", ""),
            "status.podIP": status.get("podIP", ""),
            "status.podIPs": status.get("podIP", ""),
            "status.nominatedNodeName": status.get("nominatedNodeName", ""),
        }


def _is_new(obj: Object) -> bool:
    return "resourceVersion" not in obj["metadata"]


def _validate_new(spec: Object, path: Path) -> Iterator[FieldError]:
    """What holds only when a Pod is created."""
    if spec.get("ephemeralContainers"):
        yield path.ephemeralContainers.forbidden("cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield path.nodeName.forbidden("cannot be set until all schedulingGates have been cleared")


def _validate_annotations(annotations: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    if MIRROR in annotations and not spec.get("nodeName"):
        yield path[MIRROR].invalid(
            annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set"
        )
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_COST(cost) and -(2**31) <= int(cost) < 2**31):
        yield path[DELETION_COST].invalid(cost, "must be a 32bit integer")
    yield from apparmor.validate_annotations(annotations, spec, path)


def _validate_mirror(new: Object, old: Object, path: Path) -> Iterator[FieldError]:
    now, was = new.get(MIRROR), old.get(MIRROR)
    if now == was:
        return
    verb = "add" if was is None else "remove or update"
    yield path[MIRROR].forbidden(f"may not {verb} mirror pod annotation")


def _validate_no_tokens(spec: Object, path: Path) -> Iterator[FieldError]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if "serviceAccountToken" in source:
                yield (
                    path[index]
                    .projected.sources[position]
                    .serviceAccountToken.forbidden("must not be specified when serviceAccountName is not set")
                )


def _select_own_values(obj: Object) -> None:
    """`matchLabelKeys` become terms of the selector, with the values that this Pod has (KEP-3633)."""
    labels = obj["metadata"].get("labels") or {}
    for constraint in obj["spec"].get("topologySpreadConstraints") or ():
        # KEP-3243: the scheduler then needs no labels of the Pod.
        _extend_selector(constraint, labels)
    affinity = obj["spec"].get("affinity")
    if not affinity:
        return
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        listed = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in listed + [entry.get("podAffinityTerm") or {} for entry in preferred]:
            _extend_selector(term, labels)


def _extend_selector(term: Object, labels: Object) -> None:
    selector = term.get("labelSelector")
    if selector is None:
        return
    for name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(name) or ():
            if key in labels:
                need = {"key": key, "operator": operator, "values": [labels[key]]}
                if need not in selector.setdefault("matchExpressions", []):
                    selector["matchExpressions"].append(need)
