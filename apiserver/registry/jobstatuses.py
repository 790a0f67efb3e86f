"""What the status of a Job may become: a Job that is over stays over, and its counts only grow.

Only what changes is looked at, so that a Job whose status is odd already can still be written. Rules and
wording: upstream's `pkg/apis/batch/validation` and `pkg/registry/batch/job`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from . import jobindexes
from .immutable import non_negative, unsaid

COMPLETE, FAILED = "Complete", "Failed"
TARGET, CRITERIA = "FailureTarget", "SuccessCriteriaMet"


@dataclass(frozen=True, slots=True)
class _View:
    """A status, and which of its conditions are true."""

    status: Object
    true: frozenset[str]

    @property
    def finished(self) -> bool:
        return bool(self.true & {COMPLETE, FAILED})

    def get(self, name: str, default: Any = None) -> Any:
        return self.status.get(name, default)


def _view(status: Object) -> _View:
    conditions = status.get("conditions") or ()
    true = frozenset(entry.get("type", "") for entry in conditions if entry.get("status") == "True")
    return _View(status, true)


def is_true(status: Object, condition: str) -> bool:
    return condition in _view(status).true


def validate_job_status(new: Object, old: Object, spec: Object, path: Path) -> Iterator[FieldError]:
    """Statuses of a Job, and its spec."""
    now, was = _view(new), _view(old)
    yield from non_negative(new, path, "active", "succeeded", "failed", "ready", "terminating")
    yield from _validate_uncounted(new.get("uncountedTerminatedPods") or {}, path.uncountedTerminatedPods)
    yield from _validate_conditions(now, was, path.conditions)
    yield from _validate_times(now, was, path)
    yield from _validate_end(now, was, spec, path)
    yield from _validate_indexes(now, was, spec, path)
    yield from _validate_criteria(now, spec, path.conditions)
    yield from _validate_transition(now, was, spec, path)


def _validate_uncounted(pods: Object, path: Path) -> Iterator[FieldError]:
    seen: set[str] = set()
    for part in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(part) or ()):
            if not uid:
                yield path.child(part)[index].invalid(uid, "must not be empty")
            elif uid in seen:
                yield path.child(part)[index].duplicate(uid)
            seen.add(uid)


def _validate_conditions(now: _View, was: _View, path: Path) -> Iterator[FieldError]:
    for other, text in ((FAILED, "Failed"), (TARGET, "FailureTarget")):
        changed = (now.true ^ was.true) & {COMPLETE, other}
        if changed and {COMPLETE, other} <= now.true:
            yield unsaid(path, f"cannot set Complete=True and {text}=true conditions")


def _validate_times(now: _View, was: _View, path: Path) -> Iterator[FieldError]:
    start, end, done = now.get("startTime"), now.get("completionTime"), COMPLETE in now.true
    ended = end != was.get("completionTime")
    if ended or done != (COMPLETE in was.true):
        if end and not done:
            text = "cannot set completionTime when there is no Complete=True condition"
            yield path.completionTime.invalid(end, text)
        elif done and not end:
            yield path.completionTime.required("completionTime is required for Complete jobs")
    if (ended or start != was.get("startTime")) and start and end and _time(end) < _time(start):
        yield path.completionTime.invalid(end, "completionTime cannot be set before startTime")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _validate_end(now: _View, was: _View, spec: Object, path: Path) -> Iterator[FieldError]:
    """What a Job that is over no longer has."""
    if not now.finished:
        return

    def concerns(name: str) -> bool:
        return not was.finished or now.get(name) != was.get(name)

    active, uncounted = now.get("active", 0), now.get("uncountedTerminatedPods") or {}
    if concerns("active") and active > 0:
        yield path.active.invalid(active, "active>0 is invalid for finished job")
    # Nothing to do is done even while it is suspended, without a start.
    nothing = spec.get("suspend") and spec.get("completions") == 0
    if concerns("startTime") and not now.get("startTime") and not nothing:
        yield path.startTime.required("startTime is required for finished job")
    if concerns("uncountedTerminatedPods") and (uncounted.get("failed") or uncounted.get("succeeded")):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        yield path.uncountedTerminatedPods.invalid(uncounted, text)


def _validate_indexes(now: _View, was: _View, spec: Object, path: Path) -> Iterator[FieldError]:
    completions, limit = spec.get("completions"), spec.get("backoffLimitPerIndex")
    completed, failed = now.get("completedIndexes", ""), now.get("failedIndexes")
    done, lost = completed != was.get("completedIndexes", ""), failed != was.get("failedIndexes")
    if done and completions is not None:
        yield from _validate_format(completed, completions, "completedIndexes", path)
    if lost and completions is not None and limit is not None and failed is not None:
        yield from _validate_format(failed, completions, "failedIndexes", path)
    if done and completed and spec.get("completionMode") != "Indexed":
        text = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield path.completedIndexes.invalid(completed, text)
    if lost and limit is None and failed is not None:
        text = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield path.failedIndexes.invalid(failed, text)
    if (done or lost) and completions is not None and failed is not None:
        shared = jobindexes.overlap(completed, failed, completions)
        if shared is not None:
            text = f"failedIndexes and completedIndexes overlap at index: {shared}"
            yield path.failedIndexes.invalid(failed, text)


def _validate_format(text: str, completions: int, name: str, path: Path) -> Iterator[FieldError]:
    try:
        jobindexes.count(text, completions)
    except jobindexes.IndexesError as error:
        yield path.child(name).invalid(text, f"error parsing {name}: {error}")


def _validate_criteria(now: _View, spec: Object, path: Path) -> Iterator[FieldError]:
    if CRITERIA in now.true:
        for other, text in ((FAILED, "Failed"), (TARGET, "FailureTarget")):
            if other in now.true:
                yield unsaid(path, f"cannot set SuccessCriteriaMet=True and {text}=true conditions")
    elif spec.get("successPolicy") is not None and COMPLETE in now.true:
        text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        yield unsaid(path, text)


def _validate_transition(now: _View, was: _View, spec: Object, path: Path) -> Iterator[FieldError]:
    for condition in (FAILED, COMPLETE, TARGET):
        if condition in was.true - now.true:
            yield unsaid(path.conditions, f"cannot disable the terminal {condition}=True condition")
    shrinks = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for name in ("failed",) if shrinks else ("failed", "succeeded"):
        if now.get(name, 0) < was.get(name, 0):
            yield path.child(name).invalid(now.get(name, 0), f"cannot decrease the {name} counter")
    ends = now.get("completionTime"), was.get("completionTime")
    if all(ends) and ends[0] != ends[1]:
        yield path.completionTime.invalid(ends[0], "completionTime cannot be mutated")
    start = was.get("startTime")
    if start and start != now.get("startTime") and not spec.get("suspend"):
        yield path.startTime.required("startTime cannot be removed for unsuspended job")
    if CRITERIA in was.true - now.true:
        yield unsaid(path.conditions, "cannot disable the SuccessCriteriaMet=True condition")
    if COMPLETE in was.true and CRITERIA in now.true - was.true:
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield unsaid(path.conditions, text)
