"""Metrics of Jobs, under the names, labels and buckets of upstream's pkg/controller/job/metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from kplane.api.clock import Clock
from kplane.api.types import Condition, Job, Pod

from . import indexes, policy
from .assessment import Assessment
from .pods import has_failed, indexed, tracked

RECONCILING, TRACKING_PODS = "reconciling", "tracking"
CREATED, DELETED = "pods_created", "pods_deleted"

_SYNC = ["completion_mode", "result", "action"]
_SECONDS = Histogram(
    "job_controller_job_sync_duration_seconds", "The time it took to sync a job", _SYNC,
    buckets=tuple(0.004 * 2**power for power in range(15)),
)  # fmt: skip
_SYNCS = Counter("job_controller_job_syncs_total", "The number of job syncs", _SYNC)
_FINISHED = Counter(
    "job_controller_jobs_finished_total", "The number of finished jobs",
    ["completion_mode", "result", "reason"],
)  # fmt: skip
_ELSEWHERE = Counter(
    "job_controller_jobs_by_external_controller_total",
    "The number of Jobs managed by an external controller",
    ["controller_name"],
)
_PODS = Counter(
    "job_controller_job_pods_finished_total", "The number of finished Pods that are fully tracked",
    ["completion_mode", "result"],
)  # fmt: skip
_BY_POLICY = Counter(
    "job_controller_pod_failures_handled_by_failure_policy_total",
    "The number of failed Pods handled by failure policy with respect to the failure policy action applied "
    "based on the matched rule. Possible values of the action label correspond to the possible values for "
    'the failure policy rule action, which are: "FailJob", "Ignore" and "Count".',
    ["action"],
)
_FINALIZERS = Counter(
    "job_controller_terminated_pods_tracking_finalizer_total",
    "The number of terminated pods (phase=Failed|Succeeded) that have the finalizer "
    'batch.kubernetes.io/job-tracking. The event label can be "add" or "delete".',
    ["event"],
)
_INDEXES = Counter(
    "job_controller_job_finished_indexes_total",
    "The number of finished indexes. Possible values for the status label are: "
    '"succeeded", "failed". Possible values for the backoffLimit label are: "perIndex" and "global"',
    ["status", "backoffLimit"],
)
_CREATIONS = Counter(
    "job_controller_job_pods_creation_total",
    "The number of Pods created by the Job controller labelled with a reason for the Pod creation. "
    "This metric also distinguishes between Pods created using different PodReplacementPolicy settings. "
    'Possible values of the "reason" label are: "new", "recreate_terminating_or_failed", "recreate_failed". '
    'Possible values of the "status" label are: "succeeded", "failed".',
    ["reason", "status"],
)


@dataclass
class Sync:
    """One look at a Job; `action` is set by what is done."""

    action: str = RECONCILING


@contextmanager
def observed(job: Job, clock: Clock) -> Iterator[Sync]:
    """Around one look at a Job."""
    sync, began, result = Sync(), clock.monotonic(), "error"
    try:
        yield sync
        result = "success"
    finally:
        labels = job.spec.completion_mode, result, sync.action
        _SYNCS.labels(*labels).inc()
        _SECONDS.labels(*labels).observe(clock.monotonic() - began)


def count_created(found: Assessment, *, failed: bool) -> None:
    _CREATIONS.labels(_creation_reason(found), "failed" if failed else "succeeded").inc()


def _creation_reason(found: Assessment) -> str:
    if found.job.spec.pod_replacement_policy == "Failed" and found.failed:
        return "recreate_failed"
    return "recreate_terminating_or_failed" if found.failed or found.job.status.terminating else "new"


def count_verdicts(job: Job, pods: Iterable[Pod], known: Iterable[str]) -> None:
    """Of Pods that are counted now: what the failure policy made of those that failed. `known` are the uids
    of those that were counted as failed before."""
    if job.spec.pod_failure_policy is None:
        return
    before = set(known)
    for pod in pods:
        judged = pod.metadata.uid not in before and has_failed(pod, job)
        if judged and (action := policy.judge(job, pod).action):
            _BY_POLICY.labels(action).inc()


def count_status(old: Job, new: Job) -> None:
    """What a written status counts that the one before did not."""
    mode, before, after = old.spec.completion_mode, old.status, new.status
    _add(_PODS.labels(mode, "failed"), after.failed - before.failed)
    _add(_PODS.labels(mode, "succeeded"), after.succeeded - before.succeeded)
    if not indexed(old):
        return
    limit = "perIndex" if old.spec.backoff_limit_per_index is not None else "global"
    done = _number(new, after.completed_indexes) - _number(old, before.completed_indexes)
    _add(_INDEXES.labels("succeeded", limit), done)
    if limit == "perIndex":
        failed = _number(new, after.failed_indexes or "") - _number(old, before.failed_indexes or "")
        _add(_INDEXES.labels("failed", limit), failed)


def count_finished(job: Job, end: Condition) -> None:
    result = "succeeded" if end.type == "Complete" else "failed"
    _FINISHED.labels(job.spec.completion_mode, result, end.reason).inc()


def count_finalizer(old: Pod | None, new: Pod | None) -> None:
    """Informer handler."""
    was, now = _ended_and_tracked(old), _ended_and_tracked(new)
    if was != now:
        _FINALIZERS.labels("add" if now else "delete").inc()


def count_managed_elsewhere(manager: str) -> None:
    _ELSEWHERE.labels(manager).inc()


def _ended_and_tracked(pod: Pod | None) -> bool:
    return pod is not None and pod.terminal and tracked(pod)


def _number(job: Job, text: str) -> int:
    return len(indexes.parse(text, job.spec.completions or 0)) if text else 0


def _add(counter: Counter, amount: int) -> None:
    if amount > 0:
        counter.inc(amount)
