"""What a Job that goes on does next: Pods to create or to delete, or how long to wait. Pure.

Rules: upstream's `manageJob`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from kplane.api.types import Pod

from ..ranking import plain_order
from . import policy
from .assessment import Assessment
from .failures import index_wait
from .pods import (
    FAILURES,
    IGNORED,
    Wanted,
    ignored_failures,
    index_failures,
    index_of,
    indexed,
    replaces_only_failed,
    terminating,
)

BURST = 500
"""Most Pods created or deleted in one step."""


@dataclass(frozen=True)
class Plan:
    create: Sequence[Wanted] = ()
    delete: Sequence[Pod] = ()
    wait: float | None = None
    """Seconds until Pods may be created again."""


def plan(found: Assessment) -> Plan:
    if found.job.spec.suspend:
        return Plan(delete=found.active)
    want = _wanted(found)
    if surplus := _surplus(found, max(len(found.active) - want, 0)):
        return Plan(delete=surplus[:BURST])
    missing = want - len(found.active)
    if replaces_only_failed(found.job):
        missing -= sum(terminating(pod) for pod in found.pods)
    return _creation(found, min(missing, BURST)) if missing > 0 else Plan()


def _wanted(found: Assessment) -> int:
    """How many Pods should be active."""
    spec = found.job.spec
    if spec.completions is None:
        # One success ends the work; what runs still may run on.
        return len(found.active) if found.succeeded else spec.parallelism
    return max(min(spec.completions - found.succeeded, spec.parallelism), 0)


def _surplus(found: Assessment, at_least: int) -> list[Pod]:
    """Pods of unknown or doubled index first, then as many as are too many."""
    victims: list[Pod] = []
    left = found.active
    if indexed(found.job):
        victims, left = _doubles(found)
    more = at_least - len(victims)
    return victims + plain_order(left)[:more] if more > 0 else victims


def _doubles(found: Assessment) -> tuple[list[Pod], list[Pod]]:
    """The Pods to delete, and those to keep: one of each index."""
    victims: list[Pod] = []
    groups: dict[int, list[Pod]] = defaultdict(list)
    for pod in found.active:
        index = index_of(pod, found.job)
        if index is None:
            victims.append(pod)
        else:
            groups[index].append(pod)
    kept: list[Pod] = []
    for index in sorted(groups):
        *doubles, best = plain_order(groups[index])
        victims += doubles
        kept.append(best)
    return victims, kept


def _creation(found: Assessment, count: int) -> Plan:
    per_index = found.failed_indexes is not None
    if not per_index and (wait := found.backoff.remaining(found.now)):
        return Plan(wait=wait)
    if not indexed(found.job):
        return Plan(create=[Wanted()] * count)
    pending = list(islice(_pending(found), count))
    if not per_index:
        return Plan(create=[Wanted(index) for index in pending])
    waits = {index: index_wait(found.delayed.get(index), found.now) for index in pending}
    due = [Wanted(index, _annotations(found, index)) for index in pending if not waits[index]]
    later = min((wait for wait in waits.values() if wait), default=None)
    return Plan(create=due, wait=later)


def _pending(found: Assessment) -> Iterator[int]:
    """The indexes that need a Pod, lowest first."""
    taken = {index_of(pod, found.job) for pod in found.active}
    if replaces_only_failed(found.job):
        taken |= {index_of(pod, found.job) for pod in found.pods if terminating(pod)}
    taken |= found.succeeded_indexes | (found.failed_indexes or frozenset())
    return (index for index in range(found.job.spec.completions or 0) if index not in taken)


def _annotations(found: Assessment, index: int) -> dict[str, str]:
    """The failures of this index so far, which its next Pod carries on."""
    last = found.delayed.get(index)
    if last is None:
        return {FAILURES: "0"}
    counting = policy.judge(found.job, last).counts
    ignored = ignored_failures(last) + (not counting)
    marks = {FAILURES: str(index_failures(last) + counting)}
    return marks | ({IGNORED: str(ignored)} if ignored else {})
