"""Pod failure back-off: 10 s after the first failure, doubled by each further one, up to 10 minutes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kplane.api.types import Job, Pod

from .pods import ended_at, ignored_failures, index_failures

FIRST = 10.0
LONGEST = 600.0


@dataclass(frozen=True)
class Record:
    """The failures of a Job since its last success."""

    count: int = 0
    last: datetime | None = None

    def remaining(self, now: datetime) -> float:
        """Seconds until another Pod may be created."""
        return _remaining(self.count, self.last, now)


def record(old: Record, succeeded: Sequence[Pod], failed: Sequence[Pod], now: datetime) -> Record:
    """The record with Pods that have ended since."""
    times = [ended_at(pod, now) for pod in failed]
    if succeeded:
        last_success = max(ended_at(pod, now) for pod in succeeded)
        times = [time for time in times if time > last_success]
        return Record(len(times), max(times, default=None))
    if not times:
        return old
    last = max(times) if old.last is None else max(*times, old.last)
    return Record(old.count + len(times), last)


def index_wait(failed: Pod | None, now: datetime) -> float:
    """Seconds until the index of this Pod may get another one."""
    if failed is None:
        return 0.0
    count = index_failures(failed) + ignored_failures(failed) + 1
    return _remaining(count, ended_at(failed, now), now)


def _remaining(count: int, last: datetime | None, now: datetime) -> float:
    if not count or last is None:
        return 0.0
    delay = min(FIRST * 2.0 ** min(count - 1, 10), LONGEST)
    return max(delay - (now - last).total_seconds(), 0.0)


def restarts_exceed(job: Job, pods: Sequence[Pod]) -> bool:
    """Whether containers that are restarted in place have failed too often (restartPolicy OnFailure)."""
    if (job.spec.template.get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    running = [pod for pod in pods if pod.status.phase in ("Pending", "Running")]
    count = sum(
        status.restart_count
        for pod in running
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return count > 0 if job.spec.backoff_limit == 0 else count >= job.spec.backoff_limit
