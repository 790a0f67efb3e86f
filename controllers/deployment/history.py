"""Revisions: which template is the how-manieth, and how many old ones are kept. Plain functions.

Owns: the annotations `deployment.kubernetes.io/*` of ReplicaSets, and the choice of sets to delete.
Elsewhere: rolling back is a patch of the template (kubectl's, or by annotation: rollback.py); it shows here
as a set that gets a new revision.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.types import Deployment, ReplicaSet

from ..numbers import integer
from .plan import DESIRED, MAXIMUM, annotated, max_surge
from .template import by_creation

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
ROLLBACK = "deprecated.deployment.rollback.to"
HISTORY_CHARACTERS = 2000
UNLIMITED = 2**31 - 1
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        ROLLBACK,
    }
)
"""Annotations of a Deployment that its sets do not get."""


def revision(rs: ReplicaSet) -> int:
    return annotated(rs, REVISION, bits=64) or 0


def next_revision(old: Sequence[ReplicaSet]) -> int:
    """The number that the new set gets unless it has a higher one already."""
    return max((revision(rs) for rs in old), default=0) + 1


def new_set_annotations(deployment: Deployment, present: dict[str, str], number: int) -> dict[str, str]:
    """What the new set's annotations should be, given those present: the Deployment's own, the revision, and
    the revisions that it had before it was rolled back to."""
    copied = {key: value for key, value in deployment.metadata.annotations.items() if key not in NOT_COPIED}
    wanted = present | copied
    text = present.get(REVISION, "")
    before = integer(text, bits=64) if text else 0
    if before is None:
        return wanted
    if number > before:
        wanted[REVISION] = str(number)
        if text:
            wanted[HISTORY] = _extended(present.get(HISTORY, ""), text)
    return wanted


def _extended(history: str, number: str) -> str:
    """The history with one more revision; the oldest fall out beyond 2,000 characters."""
    numbers = [*history.split(","), number] if history else [number]
    while len(",".join(numbers)) > HISTORY_CHARACTERS:
        numbers.pop(0)
    return ",".join(numbers)


def size_annotations(deployment: Deployment) -> dict[str, str]:
    """What a set remembers of the Deployment's size, for proportional scaling."""
    replicas = deployment.spec.replicas
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + max_surge(deployment))}


def superfluous(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """The old sets beyond spec.revisionHistoryLimit, but for those that still have, or may get, Pods."""
    limit = deployment.spec.revision_history_limit
    if limit is None or limit == UNLIMITED:
        return []
    alive = [rs for rs in old if rs.metadata.deletion_timestamp is None]
    oldest_first = sorted(alive, key=lambda rs: (revision(rs), by_creation(rs)))
    return [rs for rs in oldest_first[: max(len(alive) - limit, 0)] if _idle(rs)]


def _idle(rs: ReplicaSet) -> bool:
    seen = rs.metadata.generation <= rs.status.observed_generation
    return seen and not rs.spec.replicas and not rs.status.replicas
