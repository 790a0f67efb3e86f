"""Metrics of work queues, under the names, labels and buckets of component-base."""

from __future__ import annotations

from collections.abc import Callable

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
_UNFINISHED = Gauge(
    "workqueue_unfinished_work_seconds",
    "How many seconds of work has done that is in progress and hasn't been observed by work_duration. "
    "Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate "
    "at which this increases.",
    ["name"],
)
_LONGEST = Gauge(
    "workqueue_longest_running_processor_seconds",
    "How many seconds has the longest running processor for workqueue been running.",
    ["name"],
)


class QueueMetrics:
    """The series of one queue."""

    def __init__(self, name: str) -> None:
        self._name = name
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

    def watch(self, running: Callable[[], list[float]]) -> None:
        """Ask `running`, whenever somebody looks, for the seconds that each key has been worked on so far.
        The last queue of a name is the one that counts."""
        _UNFINISHED.labels(self._name).set_function(lambda: sum(running()))
        _LONGEST.labels(self._name).set_function(lambda: max(running(), default=0.0))
