"""Metrics of work queues, under the names, labels and buckets of component-base."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))

_DEPTH = Gauge("workqueue_depth", "Current depth of workqueue", ["name"])
_ADDS = Counter("workqueue_adds_total", "Total number of adds handled by workqueue", ["name"])
_WAIT = Histogram(
    "workqueue_queue_duration_seconds",
    "How long in seconds an item stays in workqueue before being requested.",
    ["name"],
    buckets=_BUCKETS,
)
_WORK = Histogram(
    "workqueue_work_duration_seconds",
    "How long in seconds processing an item from workqueue takes.",
    ["name"],
    buckets=_BUCKETS,
)
_RETRIES = Counter("workqueue_retries_total", "Total number of retries handled by workqueue", ["name"])


class QueueMetrics:
    """The series of one queue."""

    def __init__(self, name: str) -> None:
        self._depth = _DEPTH.labels(name)
        self._adds = _ADDS.labels(name)
        self._wait = _WAIT.labels(name)
        self._work = _WORK.labels(name)
        self.retries = _RETRIES.labels(name)

    def added(self, depth: int) -> None:
        self._adds.inc()
        self._depth.set(depth)

    def taken(self, depth: int, waited: float) -> None:
        self._depth.set(depth)
        self._wait.observe(waited)

    def finished(self, seconds: float) -> None:
        self._work.observe(seconds)
