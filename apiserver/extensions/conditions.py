"""Conditions of a CustomResourceDefinition's status. Rules: apiextensions `pkg/apihelpers`."""

from __future__ import annotations

from typing import NamedTuple

from kplane.api.resource import Object

NAMES_ACCEPTED = "NamesAccepted"
ESTABLISHED = "Established"
TERMINATING = "Terminating"
NON_STRUCTURAL = "NonStructuralSchema"
APPROVED = "KubernetesAPIApprovalPolicyConformant"

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class Condition(NamedTuple):
    type: str
    status: str
    reason: str
    message: str


def find(crd: Object, kind: str) -> Object | None:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry.get("type") == kind), None)


def is_true(crd: Object, kind: str) -> bool:
    found = find(crd, kind)
    return found is not None and found.get("status") == "True"


def set_condition(status: Object, wanted: Condition, now: str) -> None:
    """Put the condition into `status`, in place; its time is that of the last change of its status."""
    conditions = status.get("conditions") or []
    entry = next((entry for entry in conditions if entry.get("type") == wanted.type), None)
    if entry is None:
        entry = {"type": wanted.type}
        conditions = [*conditions, entry]
    if entry.get("status") != wanted.status or not entry.get("lastTransitionTime"):
        entry["lastTransitionTime"] = now
    entry |= {"status": wanted.status, "reason": wanted.reason, "message": wanted.message}
    status["conditions"] = conditions


def remove_condition(status: Object, kind: str) -> None:
    status["conditions"] = [entry for entry in status.get("conditions") or () if entry.get("type") != kind]
