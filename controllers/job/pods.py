"""A Job's Pods: their index, whether they have failed, when they ended, and the body of a new one. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kplane.api.resource import Object
from kplane.api.types import Job, Pod
from kplane.api.types.meta import condition

from ..numbers import integer
from ..pods import from_template

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"
ENV = "JOB_COMPLETION_INDEX"
_MAX_GENERATE_NAME = 58


def tracked(pod: Pod) -> bool:
    """Whether the Pod still waits to be counted."""
    return TRACKING in pod.metadata.finalizers


def indexed(job: Job) -> bool:
    return job.spec.completion_mode == "Indexed"


def index_of(pod: Pod, job: Job) -> int | None:
    """The completion index; None where the Pod has none that the Job knows."""
    index = integer(pod.metadata.annotations.get(INDEX, ""))
    return index if index is not None and 0 <= index < (job.spec.completions or 0) else None


def counts_for(pod: Pod, job: Job) -> bool:
    """Whether the Pod can count towards the Job at all."""
    return not indexed(job) or index_of(pod, job) is not None


def replaces_only_failed(job: Job) -> bool:
    """Whether a Pod that is being deleted is waited for until it has ended."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def has_failed(pod: Pod, job: Job) -> bool:
    """A deleted Pod counts as failed, because it may be gone before it shows how it ended."""
    if pod.status.phase == "Failed":
        return True
    if replaces_only_failed(job):
        return False
    return pod.metadata.deletion_timestamp is not None and pod.status.phase != "Succeeded"


def terminating(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None and not pod.terminal


def index_failures(pod: Pod) -> int:
    """How often its index had failed when it was created."""
    return _number(pod, FAILURES)


def ignored_failures(pod: Pod) -> int:
    """The same for failures that the policy ignored."""
    return _number(pod, IGNORED)


def _number(pod: Pod, annotation: str) -> int:
    return max(integer(pod.metadata.annotations.get(annotation, "")) or 0, 0)


def ended_at(pod: Pod, now: datetime) -> datetime:
    """When the Pod ended: by its containers, else by its readiness, its deletion or its creation."""
    ends = [status.state.terminated for status in pod.status.container_statuses]
    times = [end.finished_at for end in ends if end and end.finished_at]
    if times and len(times) == len(ends):
        return max(times)
    ready = condition(pod.status.conditions, "Ready")
    if ready and ready.status == "False" and ready.last_transition_time:
        return ready.last_transition_time
    meta = pod.metadata
    if meta.deletion_timestamp:
        return meta.deletion_timestamp - timedelta(seconds=meta.deletion_grace_period_seconds or 0)
    return meta.creation_timestamp or now


@dataclass(frozen=True)
class Wanted:
    """One Pod to be created."""

    index: int | None = None
    annotations: dict[str, str] = field(default_factory=dict)


def body(job: Job, wanted: Wanted) -> Object:
    """The Pod to create."""
    pod = copy.deepcopy(from_template(job.spec.template, job))
    metadata = pod["metadata"]
    finalizers = metadata.setdefault("finalizers", [])
    if TRACKING not in finalizers:
        finalizers.append(TRACKING)
    if wanted.index is None:
        return pod
    mark = {INDEX: str(wanted.index)}
    metadata["annotations"] = {**metadata.get("annotations", {}), **mark, **wanted.annotations}
    metadata["labels"] = {**metadata.get("labels", {}), **mark}
    metadata["generateName"] = _prefix(job.metadata.name, wanted.index)
    pod["spec"]["hostname"] = f"{job.metadata.name}-{wanted.index}"
    _add_env([*pod["spec"].get("initContainers", ()), *pod["spec"].get("containers", ())])
    return pod


def _prefix(name: str, index: int) -> str:
    ending = f"-{index}-"
    return name[: _MAX_GENERATE_NAME - len(ending)] + ending


def _add_env(containers: Iterable[Any]) -> None:
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in containers:
        env = container.setdefault("env", [])
        if all(entry["name"] != ENV for entry in env):
            env.append({"name": ENV, "valueFrom": source})
