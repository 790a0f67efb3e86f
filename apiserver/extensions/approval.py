"""Groups that belong to the Kubernetes project want an approval: `api-approved.kubernetes.io`.

Pure. Rules and wording: apiextensions `pkg/apihelpers`, `pkg/controller/apiapproval`.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from kplane.api.field import quoted
from kplane.api.resource import Object

from .conditions import APPROVED, Condition

ANNOTATION = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"
_PROTECTED = ("k8s.io", "kubernetes.io")


class Approval(NamedTuple):
    state: str
    """Missing, Unapproved, Approved or Invalid."""
    reason: str


def is_protected(group: str) -> bool:
    return any(group == name or group.endswith(f".{name}") for name in _PROTECTED)


def approval(crd: Object) -> Approval:
    text = (crd["metadata"].get("annotations") or {}).get(ANNOTATION) or ""
    wanted = f"protected groups must have approval annotation {quoted(ANNOTATION)}"
    if not text:
        return Approval("Missing", f"{wanted}, {_SEE}")
    if text.startswith("unapproved"):
        return Approval("Unapproved", f"not approved: {quoted(text)}")
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme and parts.netloc:
        return Approval("Approved", f"approved in {text}")
    return Approval("Invalid", f'{wanted} with either a URL or a reason starting with "unapproved", {_SEE}')


def condition(crd: Object) -> Condition | None:
    """None for groups that need no approval."""
    if not is_protected(crd["spec"]["group"]):
        return None
    state, reason = approval(crd)
    return Condition(APPROVED, "True" if state == "Approved" else "False", f"{state}Annotation", reason)
