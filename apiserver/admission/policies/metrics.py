"""The metrics of admission policies, under upstream's names and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from .evaluation import OUT_OF_BUDGET

_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)


def error_type(fault: str) -> str:
    """The label for what went wrong; empty if nothing did."""
    if not fault:
        return "no_error"
    if fault.startswith("compilation"):
        return "compile_error"
    return "out_of_budget" if fault.startswith(OUT_OF_BUDGET.partition(",")[0]) else "invalid_error"


class ValidatingMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("policy", "policy_binding", "error_type", "enforcement_action")
        self._checks = Counter(
            "apiserver_validating_admission_policy_check",
            "Validation admission policy check total, labeled by policy and further identified by binding "
            "and enforcement action taken.",
            labels,
            registry=registry,
        )
        self._seconds = Histogram(
            "apiserver_validating_admission_policy_check_duration_seconds",
            "Validation admission latency for individual validation expressions in seconds, labeled by "
            "policy and further including binding and enforcement action taken.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )

    def checked(self, policy: str, binding: str, fault: str, action: str, seconds: float) -> None:
        """`action`: allow, deny, audit or warn."""
        labels = policy, binding, error_type(fault), action
        self._checks.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)


class MutatingMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("policy", "policy_binding", "error_type")
        self._checks = Counter(
            "apiserver_mutating_admission_policy_check",
            "Mutation admission policy check total, labeled by policy and further identified by binding.",
            labels,
            registry=registry,
        )
        self._seconds = Histogram(
            "apiserver_mutating_admission_policy_check_duration_seconds",
            "Mutation admission latency for individual mutation expressions in seconds, labeled by policy "
            "and binding.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )

    def mutated(self, policy: str, binding: str, fault: str, seconds: float) -> None:
        labels = policy, binding, error_type(fault)
        self._checks.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)
