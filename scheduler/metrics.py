"""The scheduler's metrics, under upstream's names."""

from __future__ import annotations

from functools import partial

from prometheus_client import Counter, Gauge, Histogram

from .queue import Place, SchedulingQueue

_DURATIONS = tuple(0.001 * 2**power for power in range(15))

ATTEMPTS = Counter(
    "scheduler_schedule_attempts_total",
    "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled,"
    " while 'error' means an internal scheduler problem.",
    ["profile", "result"],
)
ATTEMPT_SECONDS = Histogram(
    "scheduler_scheduling_attempt_duration_seconds",
    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    ["profile", "result"],
    buckets=_DURATIONS,
)
ALGORITHM_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds",
    "Scheduling algorithm latency in seconds",
    buckets=_DURATIONS,
)
POD_SECONDS = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might"
    " involve multiple scheduling attempts.",
    ["attempts"],
    buckets=tuple(0.01 * 2**power for power in range(20)),
)
PREEMPTION_ATTEMPTS = Counter(
    "scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now"
)
PREEMPTION_VICTIMS = Histogram(
    "scheduler_preemption_victims",
    "Number of selected preemption victims",
    buckets=tuple(2.0**power for power in range(7)),
)
_PENDING = Gauge(
    "scheduler_pending_pods",
    "Number of pending pods, by the queue type.",
    ["queue"],
)

_QUEUES = {
    "active": (Place.ACTIVE,),
    "backoff": (Place.BACKOFF, Place.ERROR),
    "unschedulable": (Place.UNSCHEDULABLE,),
}


def expose(queue: SchedulingQueue) -> None:
    """Count the Pods in the queue whenever metrics are read."""
    for name, places in _QUEUES.items():
        _PENDING.labels(name).set_function(partial(_length, queue, places))


def _length(queue: SchedulingQueue, places: tuple[Place, ...]) -> float:
    return float(sum(map(queue.count, places)))


class AttemptMetrics:
    """Attempts of one profile."""

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def decided(self, seconds: float) -> None:
        ALGORITHM_SECONDS.observe(seconds)

    def ended(self, result: str, seconds: float) -> None:
        """`result` is scheduled, unschedulable or error."""
        ATTEMPTS.labels(self._profile, result).inc()
        ATTEMPT_SECONDS.labels(self._profile, result).observe(seconds)

    def scheduled(self, attempts: int, waited: float) -> None:
        POD_SECONDS.labels(str(min(attempts, 16))).observe(waited)
