"""A Job's status in the making: what it says now, changed step by step, and its form as a patch.

Invariant: a Pod that has ended is in `uncounted` from before its finalizer is removed until it is part of a
count, so that a crash between any two writes neither loses nor repeats it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.api.types import Condition, Job
from kplane.api.types.batch import UncountedTerminatedPods
from kplane.api.types.meta import condition

from ..status import conditions_body, counts


@dataclass
class State:
    conditions: tuple[Condition, ...]
    start_time: datetime | None
    completion_time: datetime | None
    active: int
    ready: int | None
    terminating: int | None
    succeeded: int
    failed: int
    completed_indexes: str
    failed_indexes: str | None
    uncounted_succeeded: list[str]
    """uids."""
    uncounted_failed: list[str]

    @classmethod
    def of(cls, job: Job) -> State:
        """What the status says."""
        status = job.status
        uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
        return cls(
            status.conditions, status.start_time, status.completion_time, status.active, status.ready,
            status.terminating, status.succeeded, status.failed, status.completed_indexes,
            status.failed_indexes, list(uncounted.succeeded), list(uncounted.failed),
        )  # fmt: skip

    def body(self) -> Object:
        """As a merge patch."""
        return {
            "conditions": conditions_body(self.conditions),
            "startTime": _time(self.start_time),
            "completionTime": _time(self.completion_time),
            **counts({"active": self.active, "succeeded": self.succeeded, "failed": self.failed}),
            "ready": self.ready,
            "terminating": self.terminating,
            "completedIndexes": self.completed_indexes or None,
            "failedIndexes": self.failed_indexes,
            "uncountedTerminatedPods": {
                "succeeded": self.uncounted_succeeded or None,
                "failed": self.uncounted_failed or None,
            },
        }

    def settle(self, tracked: Collection[str]) -> None:
        """Count the Pods whose finalizer is gone; `tracked` are the uids that have it still."""
        for waiting, counter in ((self.uncounted_succeeded, "succeeded"), (self.uncounted_failed, "failed")):
            done = [uid for uid in waiting if uid not in tracked]
            setattr(self, counter, getattr(self, counter) + len(done))
            waiting[:] = [uid for uid in waiting if uid in tracked]

    def set_condition(self, wanted: Condition) -> bool:
        """Set a condition, and tell whether that changed it. One that is not there is not False."""
        old = condition(self.conditions, wanted.type)
        if old is None:
            if wanted.status == "False":
                return False
            self.conditions = (*self.conditions, wanted)
            return True
        if (old.status, old.reason, old.message) == (wanted.status, wanted.reason, wanted.message):
            return False
        self.conditions = tuple(wanted if entry is old else entry for entry in self.conditions)
        return True


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def new_condition(kind: str, reason: str, message: str, now: datetime, *, status: str = "True") -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_probe_time=now,
        last_transition_time=now,
    )
