"""Scopes: which pods (and claims) a ResourceQuota is about.

Rules: `pkg/quota/v1/evaluator/core/pods.go`; `ResourceQuota.spec.scopes` and `.scopeSelector`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import quantity
from kplane.api.resource import Object

AFFINITIES = ("podAffinity", "podAntiAffinity")


def quota_selectors(quota: Object) -> list[Object]:
    """All scopes of a quota in the form of selector requirements."""
    spec = quota["spec"]
    found = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or []]
    return found + list((spec.get("scopeSelector") or {}).get("matchExpressions") or [])


def pod_matches(selector: Object, pod: Object) -> bool:
    spec = pod["spec"]
    match selector.get("scopeName"):
        case "Terminating":
            return is_terminating(spec)
        case "NotTerminating":
            return not is_terminating(spec)
        case "BestEffort":
            return is_best_effort(spec)
        case "NotBestEffort":
            return not is_best_effort(spec)
        case "PriorityClass":
            return _names(selector, spec.get("priorityClassName") or "")
        case "CrossNamespacePodAffinity":
            return any(crosses_namespaces(term) for term in _affinity_terms(spec))
    return False


def claim_matches(selector: Object, claim: Object) -> bool:
    """Claims know the scope VolumeAttributesClass alone: the class wanted, or one in use or on its way."""
    if selector.get("scopeName") != "VolumeAttributesClass":
        return False
    return any(_names(selector, name) for name in claim_classes(claim) or {""})


def claim_classes(claim: Object) -> frozenset[str]:
    """Every VolumeAttributesClass that a claim has to do with."""
    status = claim.get("status") or {}
    modifying = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    wanted = claim["spec"].get("volumeAttributesClassName")
    names = (wanted, status.get("currentVolumeAttributesClassName"), modifying)
    return frozenset(name for name in names if name)


def nothing_matches(selector: Object, obj: Object) -> bool:
    """Other kinds have no scopes."""
    return False


def _names(selector: Object, value: str) -> bool:
    values = selector.get("values") or []
    match selector.get("operator"):
        case "Exists":
            return bool(value)
        case "DoesNotExist":
            return not value
        case "In":
            return bool(value) and value in values
        case "NotIn":
            return not value or value not in values
    return False


def is_terminating(spec: Object) -> bool:
    deadline = spec.get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def is_best_effort(spec: Object) -> bool:
    """Whether nothing that the pod asks for is more than zero: its class of service is BestEffort."""
    parts = [spec] if spec.get("resources") else [*_list(spec, "containers"), *_list(spec, "initContainers")]
    for part in parts:
        resources = part.get("resources") or {}
        for field in ("requests", "limits"):
            amounts = resources.get(field) or {}
            if any(quantity.sign(amounts[name]) > 0 for name in ("cpu", "memory") if name in amounts):
                return False
    return True


def _list(spec: Object, field: str) -> list[Object]:
    found: list[Object] = spec.get(field) or []
    return found


def crosses_namespaces(term: Object) -> bool:
    return bool(term.get("namespaces")) or term.get("namespaceSelector") is not None


def _affinity_terms(spec: Object) -> Iterator[Object]:
    affinity = spec.get("affinity") or {}
    for kind in AFFINITIES:
        rules = affinity.get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or []:
            yield weighted.get("podAffinityTerm") or {}
