"""The metrics of auditing, under upstream's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from .policy import LABELS, Level

_NAME = "apiserver_audit_{}".format


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            _NAME("event"),
            "Counter of audit events generated and sent to the audit backend.",
            registry=registry,
        )
        self._errors = Counter(
            _NAME("error"),
            "Counter of audit events that failed to be audited properly. Plugin identifies the plugin "
            "affected by the error.",
            ("plugin",),
            registry=registry,
        )
        self._levels = Counter(
            _NAME("level"), "Counter of policy levels for audit events (1 per request).", ("level",),
            registry=registry,
        )  # fmt: skip
        self._rejected = Counter(
            _NAME("requests_rejected"),
            "Counter of apiserver requests rejected due to an error in audit logging backend.",
            registry=registry,
        )
        self._by_level = {level: self._levels.labels(label) for level, label in LABELS.items()}

    def made(self) -> None:
        self._events.inc()

    def judged(self, level: Level) -> None:
        self._by_level[level].inc()

    def failed(self, plugin: str, count: int) -> None:
        """Events that a backend lost."""
        self._errors.labels(plugin).inc(count)

    def rejected(self) -> None:
        self._rejected.inc()
