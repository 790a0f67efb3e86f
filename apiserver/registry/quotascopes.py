"""Which objects a ResourceQuota counts: its scopes, and the selector of scopes."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .podspec.resources import QUOTA

_COMPUTE = frozenset(
    ("cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
)  # fmt: skip
_OF_PODS = _COMPUTE | {"pods"}
_OF_CLAIMS = frozenset(("persistentvolumeclaims", "requests.storage"))
_SCOPES = {
    "BestEffort": frozenset(("pods",)),
    "CrossNamespacePodAffinity": _OF_PODS,
    "NotBestEffort": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "Terminating": _OF_PODS,
    "VolumeAttributesClass": _OF_CLAIMS,
}
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_WITH_VALUES = ("PriorityClass", "VolumeAttributesClass")
_EXIST = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
    " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
    " ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate_scopes(spec: Object, path: Path) -> Iterator[FieldError]:
    """`path` is the spec's."""
    hard, scopes = spec.get("hard") or {}, spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            yield path.scopes.invalid(scopes, "unsupported scope")
        for _ in _strangers(scope, hard):
            yield path.scopes.invalid(scopes, "unsupported scope applied to resource")
    for pair in _CONFLICTS:
        if pair <= set(scopes):
            yield path.scopes.invalid(scopes, "conflicting scopes")
    selector, here = spec.get("scopeSelector") or {}, path.scopeSelector.matchExpressions
    for need in selector.get("matchExpressions") or ():
        scope = need.get("scopeName", "")
        if scope not in _SCOPES:
            yield here.scopeName.invalid(scope, "unsupported scope")
        for _ in _strangers(scope, hard):
            yield here.invalid(_shown(selector), "unsupported scope applied to resource")
        yield from _validate_operator(need, here)
    chosen = {need.get("scopeName", "") for need in selector.get("matchExpressions") or ()}
    for pair in _CONFLICTS:
        if pair <= chosen:
            # Upstream shows the plain scopes here, too.
            yield here.invalid(spec.get("scopes"), "conflicting scopes")


def _shown(selector: Object) -> Object:
    """As upstream prints it: in Go's names."""
    needs = selector.get("matchExpressions") or ()
    return {
        "MatchExpressions": [
            {
                "ScopeName": need.get("scopeName", ""),
                "Operator": need.get("operator", ""),
                "Values": need.get("values"),
            }
            for need in needs
        ]
    }


def _strangers(scope: str, hard: Object) -> Iterator[str]:
    """Resources that a scope says nothing about."""
    for name in sorted(hard):
        if name in QUOTA and name not in _SCOPES.get(scope, QUOTA):
            yield name


def _validate_operator(need: Object, path: Path) -> Iterator[FieldError]:
    operator, values, scope = need.get("operator", ""), need.get("values") or [], need.get("scopeName", "")
    if scope in _SCOPES and scope not in _WITH_VALUES and operator != "Exists":
        yield path.operator.invalid(operator, _EXIST)
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield path.child("values").required(text)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
            yield path.child("values").invalid(values, text)
    else:
        yield path.operator.invalid(operator, "not a valid selector operator")
