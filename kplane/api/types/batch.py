"""Views of batch/v1."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from kplane.api.resource import Object, Resource
from kplane.api.types.discovery import ObjectReference
from kplane.api.types.meta import Condition, LabelSelector, Part, View


class ExitCodes(Part, frozen=True):
    operator: str
    values: tuple[int, ...] = ()
    container_name: str | None = None


class PodCondition(Part, frozen=True):
    type: str
    status: str = "True"


class FailureRule(Part, frozen=True):
    action: str
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: tuple[PodCondition, ...] = ()


class PodFailurePolicy(Part, frozen=True):
    rules: tuple[FailureRule, ...] = ()


class SuccessRule(Part, frozen=True):
    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(Part, frozen=True):
    rules: tuple[SuccessRule, ...] = ()


class JobSpec(Part, frozen=True):
    parallelism: int = 1
    completions: int | None = None
    completion_mode: str = "NonIndexed"
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool = False
    managed_by: str | None = None
    pod_failure_policy: PodFailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    pod_replacement_policy: str = "TerminatingOrFailed"
    selector: LabelSelector = LabelSelector()
    template: Object = {}
    """The pod template as written: it is copied into Pods."""


class UncountedTerminatedPods(Part, frozen=True):
    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(Part, frozen=True):
    conditions: tuple[Condition, ...] = ()
    start_time: datetime | None = None
    completion_time: datetime | None = None
    active: int = 0
    ready: int | None = None
    terminating: int | None = None
    succeeded: int = 0
    failed: int = 0
    completed_indexes: str = ""
    failed_indexes: str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None


class Job(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def finished(self) -> Condition | None:
        """The condition that ended it, Complete or Failed; None while it goes on."""
        ends = (entry for entry in self.status.conditions if entry.type in ("Complete", "Failed"))
        return next((entry for entry in ends if entry.status == "True"), None)


class CronJobSpec(Part, frozen=True):
    schedule: str = ""
    time_zone: str | None = None
    concurrency_policy: str = "Allow"
    starting_deadline_seconds: int | None = None
    suspend: bool = False
    successful_jobs_history_limit: int | None = 3
    failed_jobs_history_limit: int | None = 1
    job_template: Object = {}


class CronJobStatus(Part, frozen=True):
    active: tuple[ObjectReference, ...] = ()
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None


class CronJob(View, frozen=True):
    API: ClassVar[Resource[Any]]

    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()


Job.API = Resource("batch", "v1", "jobs", "Job", True, Job)
CronJob.API = Resource("batch", "v1", "cronjobs", "CronJob", True, CronJob)
