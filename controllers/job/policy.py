"""What a Job's podFailurePolicy and successPolicy make of Pods that have ended. Pure; upstream's rules
(KEP-3329, KEP-3998) and wording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kplane.api.types import Job, Pod
from kplane.api.types.batch import ExitCodes, FailureRule, SuccessRule
from kplane.api.types.core import ContainerStatus

from . import indexes


@dataclass(frozen=True)
class Verdict:
    """What the policy says about a failed Pod. `action` is empty where no rule matches."""

    action: str = ""
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards a back-off limit."""
        return self.action != "Ignore"


def judge(job: Job, pod: Pod) -> Verdict:
    """The first rule that matches decides."""
    policy = job.spec.pod_failure_policy
    for number, rule in enumerate(policy.rules if policy else ()):
        if (why := _match(rule, pod)) is not None:
            message = f"{why} matching {rule.action} rule at index {number}"
            return Verdict(rule.action, message if rule.action == "FailJob" else "")
    return Verdict()


def _match(rule: FailureRule, pod: Pod) -> str | None:
    meta = pod.metadata
    if rule.on_exit_codes is not None:
        return _match_exit(rule.on_exit_codes, pod)
    for found in pod.status.conditions:
        if any((found.type, found.status) == (p.type, p.status) for p in rule.on_pod_conditions):
            return f"Pod {meta.namespace}/{meta.name} has condition {found.type}"
    return None


def _match_exit(codes: ExitCodes, pod: Pod) -> str | None:
    meta = pod.metadata
    for status in (*pod.status.container_statuses, *pod.status.init_container_statuses):
        code = _exit_code(status)
        if not code or codes.container_name not in (None, status.name):
            continue
        if (code in codes.values) == (codes.operator == "In"):
            where = f"{meta.namespace}/{meta.name}"
            return f"Container {status.name} for pod {where} failed with exit code {code}"
    return None


def _exit_code(status: ContainerStatus) -> int:
    """0 also for a container that has not ended."""
    return status.state.terminated.exit_code if status.state.terminated else 0


def failure_message(job: Job, failed: Iterable[Pod]) -> str:
    """Why the policy ends the Job; empty where it does not."""
    return next((message for pod in failed if (message := judge(job, pod).message)), "")


def success_message(job: Job, succeeded: frozenset[int]) -> str:
    """Why the Job has succeeded before all its indexes have; empty where it has not."""
    policy = job.spec.success_policy
    for number, rule in enumerate(policy.rules if policy and succeeded else ()):
        if _met(rule, succeeded, job.spec.completions or 0):
            return f"Matched rules at index {number}"
    return ""


def _met(rule: SuccessRule, succeeded: frozenset[int], completions: int) -> bool:
    if rule.succeeded_indexes is None:
        return rule.succeeded_count is not None and len(succeeded) >= rule.succeeded_count
    required = indexes.parse(rule.succeeded_indexes, completions)
    got = len(required & succeeded)
    return got >= len(required) or (rule.succeeded_count is not None and got >= rule.succeeded_count)
