"""Rolling back by annotation, as clients of extensions/v1beta1 asked for it. Plain functions.

Owns: what the annotation `deprecated.deployment.rollback.to` means, and upstream's words about it.
Elsewhere: kubectl's way back, a patch of the template, which needs nothing from here.

Invariant: whatever comes of it, the annotation goes, so that nothing is rolled back twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kplane.api.resource import Object
from kplane.api.types import Deployment, ReplicaSet

from ..numbers import integer
from .history import NOT_COPIED, ROLLBACK, revision
from .template import HASH_LABEL, same_template

NOT_FOUND = "DeploymentRollbackRevisionNotFound"
UNCHANGED = "DeploymentRollbackTemplateUnchanged"
DONE = "DeploymentRollback"


@dataclass(frozen=True)
class Outcome:
    """What is written to the Deployment, a merge patch, and then told."""

    patch: Object
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def asked(deployment: Deployment) -> int | None:
    """The revision to go back to, 0 for the one before; None where none is asked for."""
    return integer(deployment.metadata.annotations.get(ROLLBACK, ""), bits=64)


def outcome(deployment: Deployment, number: int, sets: Sequence[ReplicaSet]) -> Outcome:
    """Going back to this revision, of those of all sets, the new one's included."""
    name = deployment.metadata.name
    number = number or _last_but_one(sets)
    if not number:
        return _refused(NOT_FOUND, "Unable to find last revision.")
    found = next((rs for rs in sets if revision(rs) == number), None)
    if found is None:
        return _refused(NOT_FOUND, "Unable to find the revision to rollback to.")
    if same_template(found.spec.template, deployment.spec.template):
        why = f'The rollback revision contains the same template as current deployment "{name}"'
        return _refused(UNCHANGED, why)
    message = f'Rolled back deployment "{name}" to revision {number}'
    return Outcome(_patch(deployment, found), "Normal", DONE, message)


def _refused(reason: str, why: str) -> Outcome:
    return Outcome({"metadata": {"annotations": {ROLLBACK: None}}}, "Warning", reason, why)


def _last_but_one(sets: Sequence[ReplicaSet]) -> int:
    numbers = sorted((revision(rs) for rs in sets), reverse=True)
    return numbers[1] if len(numbers) > 1 else 0


def _patch(deployment: Deployment, rs: ReplicaSet) -> Object:
    """Template and annotations of the set, but for what the set has of its own."""
    template = dict(rs.spec.template)
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL
    }
    template["metadata"] = metadata
    present = deployment.metadata.annotations
    kept = {key: value for key, value in present.items() if key in NOT_COPIED and key != ROLLBACK}
    taken = {key: value for key, value in rs.metadata.annotations.items() if key not in NOT_COPIED}
    return {
        "metadata": {"annotations": difference(present, kept | taken)},
        "spec": {"template": difference(deployment.spec.template, template)},
    }


def difference(old: Object, new: Object) -> Object:
    """The merge patch that makes `new` of `old`."""
    patch: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        was: Any = old.get(key)
        if isinstance(was, dict) and isinstance(value, dict):
            if changes := difference(was, value):
                patch[key] = changes
        elif key not in old or was != value:
            patch[key] = value
    return patch
