"""The metrics of admission webhooks, under upstream's names and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..chain import Operation

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25)
HIGHEST_CODE = 600
"""Codes above are counted as this one, to bound the number of series."""


class WebhookMetrics:
    """`type` is `admit` or `validating`, as upstream calls them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._duration = Histogram(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Admission webhook latency histogram in seconds, identified by name and broken out for each "
            "operation and API resource and type (validate or admit).",
            ("name", "type", "operation", "rejected"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "apiserver_admission_webhook_request",
            "Admission webhook request total, identified by name and broken out for each admission type "
            "(validating or mutating) and operation. Additional labels specify whether the request was "
            "rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep "
            "the metrics cardinality bounded.",
            ("name", "type", "operation", "code", "rejected"),
            registry=registry,
        )
        # Gauges, because the library insists that a counter's name ends in `_total`.
        self._rejections = Gauge(
            "apiserver_admission_webhook_rejection_count",
            "Admission webhook rejection count, identified by name and broken out for each admission type "
            "(validating or admit) and operation. Additional labels specify an error type "
            "(calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) "
            "and optionally a non-zero rejection code if the webhook rejects the request with an HTTP "
            "status code.",
            ("name", "type", "operation", "error_type", "rejection_code"),
            registry=registry,
        )
        self._failed_open = Gauge(
            "apiserver_admission_webhook_fail_open_count",
            "Admission webhook fail open count, identified by name and broken out for each admission type "
            "(validating or mutating).",
            ("name", "type"),
            registry=registry,
        )
        self._excluded = Counter(
            "apiserver_admission_match_condition_exclusions",
            "Admission match condition evaluation exclusions count, identified by name of resource "
            "containing the match condition and broken out for each kind containing matchConditions "
            "(webhook or policy), operation and admission type (validate or admit).",
            ("name", "kind", "type", "operation"),
            registry=registry,
        )
        self._unevaluated = Counter(
            "apiserver_admission_match_condition_evaluation_errors",
            "Admission match condition evaluation errors count, identified by name of resource containing "
            "the match condition and broken out for each kind containing matchConditions (webhook or "
            "policy), operation and admission type (validate or admit).",
            ("name", "kind", "type", "operation"),
            registry=registry,
        )

    def called(
        self, name: str, type: str, operation: Operation, code: int, seconds: float, *, rejected: bool
    ) -> None:
        shown = "true" if rejected else "false"
        self._requests.labels(name, type, operation.value, str(min(code, HIGHEST_CODE)), shown).inc()
        self._duration.labels(name, type, operation.value, shown).observe(seconds)

    def rejected(self, name: str, type: str, operation: Operation, error: str, code: int) -> None:
        self._rejections.labels(name, type, operation.value, error, str(min(code, HIGHEST_CODE))).inc()

    def failed_open(self, name: str, type: str) -> None:
        self._failed_open.labels(name, type).inc()

    def excluded(self, name: str, type: str, operation: Operation, kind: str = "webhook") -> None:
        """`kind`: webhook or policy, whose conditions were not met."""
        self._excluded.labels(name, kind, type, operation.value).inc()

    def unevaluated(self, name: str, type: str, operation: Operation, kind: str = "webhook") -> None:
        self._unevaluated.labels(name, kind, type, operation.value).inc()
