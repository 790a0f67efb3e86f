"""How a Job stands: what has succeeded, what has failed, and whether that ends it. Pure.

Rules: upstream's `syncJob`. Elsewhere: what to do about it (plan.py), counting for good (accounting.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kplane.api.types import Condition, Job, Pod
from kplane.api.types.meta import condition

from . import indexes, policy
from .failures import Record, record, restarts_exceed
from .pods import (
    counts_for,
    ended_at,
    has_failed,
    ignored_failures,
    index_failures,
    index_of,
    indexed,
    tracked,
)
from .state import State, new_condition

SUCCESS = "SuccessCriteriaMet"
FAILURE = "FailureTarget"


@dataclass
class Assessment:
    job: Job
    pods: Sequence[Pod]
    now: datetime
    state: State
    active: list[Pod] = field(default_factory=list)
    succeeded: int = 0
    """So many Pods, or indexes, have succeeded, those included that are not counted yet."""
    failed: int = 0
    backoff: Record = field(default_factory=Record)
    counted_indexes: frozenset[int] = frozenset()
    """Succeeded indexes that the status names."""
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] | None = None
    """None unless failures are limited per index."""
    delayed: dict[int, Pod] = field(default_factory=dict)
    """Per index, the failed Pod that stays until its successor carries its failure count."""
    ending: Condition | None = None
    """SUCCESS or FAILURE, once it is known how the Job ends."""


def assess(job: Job, state: State, pods: Sequence[Pod], old: Record, now: datetime) -> Assessment:
    """`pods` are the Job's, `old` the failures so far."""
    found = Assessment(job, pods, now, state)
    found.active = [pod for pod in pods if pod.active]
    _count(found, old)
    if indexed(job):
        _count_indexes(found)
    found.ending = _ending(found)
    return found


def _count(found: Assessment, old: Record) -> None:
    job, state = found.job, found.state
    waiting = [pod for pod in found.pods if tracked(pod) and counts_for(pod, job)]
    succeeded = [
        pod for pod in waiting
        if pod.status.phase == "Succeeded" and pod.metadata.uid not in state.uncounted_succeeded
    ]  # fmt: skip
    failed = [
        pod for pod in waiting if has_failed(pod, job) and pod.metadata.uid not in state.uncounted_failed
    ]
    counting = [pod for pod in failed if policy.judge(job, pod).counts]
    found.succeeded = state.succeeded + len(state.uncounted_succeeded) + len(succeeded)
    found.failed = state.failed + len(state.uncounted_failed) + len(counting)
    found.backoff = record(old, succeeded, failed, found.now)


def _count_indexes(found: Assessment) -> None:
    job, completions = found.job, found.job.spec.completions or 0
    found.counted_indexes = indexes.parse(found.state.completed_indexes, completions)
    done = {index_of(pod, job) for pod in found.pods if pod.status.phase == "Succeeded" and tracked(pod)} - {
        None
    }
    found.succeeded_indexes = found.counted_indexes | {index for index in done if index is not None}
    found.succeeded = len(found.succeeded_indexes)
    if job.spec.backoff_limit_per_index is not None:
        known = indexes.parse(found.state.failed_indexes, completions)
        new = {index_of(pod, job) for pod in found.pods if tracked(pod) and _fails_index(pod, job)}
        found.failed_indexes = known | {index for index in new if index is not None}
        found.delayed = _delayed(found)


def _fails_index(pod: Pod, job: Job) -> bool:
    """Whether this failure is one too many for the Pod's index."""
    if not has_failed(pod, job):
        return False
    verdict = policy.judge(job, pod)
    if verdict.action == "FailIndex":
        return True
    return verdict.counts and index_failures(pod) >= (job.spec.backoff_limit_per_index or 0)


def _delayed(found: Assessment) -> dict[int, Pod]:
    running = {index_of(pod, found.job) for pod in found.active}
    over = running | found.succeeded_indexes | (found.failed_indexes or frozenset())
    latest: dict[int, Pod] = {}
    for pod in found.pods:
        index = index_of(pod, found.job)
        if index is None or index in over or not tracked(pod) or not has_failed(pod, found.job):
            continue
        if index not in latest or _follows(pod, latest[index], found.now):
            latest[index] = pod
    return latest


def _follows(pod: Pod, other: Pod, now: datetime) -> bool:
    """Whether this failure of an index came after the other."""
    counts = [index_failures(each) + ignored_failures(each) for each in (pod, other)]
    return counts[0] >= counts[1] and ended_at(pod, now) >= ended_at(other, now)


def _ending(found: Assessment) -> Condition | None:
    """What was decided earlier stays; else the first reason that holds, in upstream's order."""
    for kind in (SUCCESS, FAILURE):
        known = condition(found.state.conditions, kind)
        if known is not None and known.status == "True":
            return known
    if why := _failure(found):
        return new_condition(FAILURE, *why, found.now)
    if indexed(found.job) and (message := policy.success_message(found.job, found.succeeded_indexes)):
        return new_condition(SUCCESS, "SuccessPolicy", message, found.now)
    return None


def _failure(found: Assessment) -> tuple[str, str] | None:
    """Reason and message."""
    job, spec = found.job, found.job.spec
    if message := policy.failure_message(job, [pod for pod in found.pods if has_failed(pod, job)]):
        return "PodFailurePolicy", message
    if found.failed > spec.backoff_limit or restarts_exceed(job, found.pods):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_left(found)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    if not found.failed_indexes:
        return None
    if spec.max_failed_indexes is not None and len(found.failed_indexes) > spec.max_failed_indexes:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return "MaxFailedIndexesExceeded", message
    if len(found.failed_indexes) + len(found.succeeded_indexes) >= (spec.completions or 0):
        return "FailedIndexes", "Job has failed indexes"
    return None


def deadline_left(found: Assessment) -> float | None:
    """Seconds until activeDeadlineSeconds are over; None where no deadline runs, as while the Job is
    suspended or about to be resumed."""
    limit, start = found.job.spec.active_deadline_seconds, found.state.start_time
    suspended = condition(found.state.conditions, "Suspended")
    if limit is None or start is None or found.job.spec.suspend:
        return None
    if suspended is not None and suspended.status == "True":
        return None
    return limit - (found.now - start).total_seconds()


def completed(found: Assessment, active: int) -> Condition | None:
    """The Job's success, once it has as many as it wants and nothing runs any more."""
    wanted = found.job.spec.completions
    enough = found.succeeded > 0 if wanted is None else found.succeeded >= wanted
    if not enough or active:
        return None
    return new_condition(
        SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods", found.now
    )
