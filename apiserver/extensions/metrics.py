"""The metrics of conversion webhooks, under upstream's names and labels."""

from __future__ import annotations

from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60)
_DOUBLED = tuple(0.001 * 2**power for power in range(15))


class Failure(Enum):
    """Upstream's `failure_type`."""

    NONE = ""
    CALL = "conversion_webhook_call_failure"
    MALFORMED = "conversion_webhook_malformed_response_failure"
    PARTIAL = "conversion_webhook_partial_response_failure"
    INVALID = "conversion_webhook_invalid_converted_object_failure"


class ConversionMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "apiserver_conversion_webhook_request",
            "Counter for conversion webhook requests with success/failure and failure error type",
            ("result", "failure_type"),
            registry=registry,
        )
        self._duration = Histogram(
            "apiserver_conversion_webhook_duration_seconds",
            "Conversion webhook request latency",
            ("result", "failure_type"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._by_crd = Histogram(
            "apiserver_crd_conversion_webhook_duration_seconds",
            "CRD webhook conversion duration in seconds",
            ("crd_name", "from_version", "to_version", "succeeded"),
            buckets=_DOUBLED,
            registry=registry,
        )

    def converted(self, crd: str, versions: tuple[str, str], seconds: float, failure: Failure) -> None:
        """A call ended. `versions`: from which one to which one; `failure`: NONE where it succeeded."""
        succeeded = failure is Failure.NONE
        labels = ("success" if succeeded else "failure", failure.value)
        self._requests.labels(*labels).inc()
        self._duration.labels(*labels).observe(seconds)
        self._by_crd.labels(crd, *versions, "true" if succeeded else "false").observe(seconds)
