"""The metrics of impersonation, under upstream's names and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_NAME = "apiserver_impersonation_{}".format
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATUS = "split by status. Status is the impersonation mode on success or 'failed' on failure."
_CHECKS = "authorization checks made by the impersonation handler"


class ImpersonationMetrics:
    """Attempts to act as somebody else, and the questions that each of them takes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            _NAME("attempts"), f"Total number of impersonation attempts {_STATUS}", ["status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            _NAME("duration_seconds"), f"Latency of impersonation attempts in seconds {_STATUS}", ["status"],
            registry=registry, buckets=_BUCKETS,
        )  # fmt: skip
        self._questions = Counter(
            _NAME("authorization_attempts"), f"Total number of {_CHECKS} split by mode and decision.",
            ["mode", "decision"], registry=registry,
        )  # fmt: skip
        self._asking = Histogram(
            _NAME("authorization_duration_seconds"),
            f"Latency of {_CHECKS} in seconds split by mode and decision.",
            ["mode", "decision"], registry=registry, buckets=_BUCKETS,
        )  # fmt: skip

    def ended(self, status: str, seconds: float) -> None:
        """`status`: the mode that allowed it, or `failed`."""
        self._attempts.labels(status).inc()
        self._seconds.labels(status).observe(seconds)

    def asked(self, mode: str, allowed: bool, seconds: float) -> None:
        decision = "allowed" if allowed else "denied"
        self._questions.labels(mode, decision).inc()
        self._asking.labels(mode, decision).observe(seconds)
