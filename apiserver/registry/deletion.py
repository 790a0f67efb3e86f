"""What a DELETE does to an object: remove it, mark it as deleting, or nothing. Pure.

An object stays while it has finalizers, blockers of its own kind, or a grace period that runs. Rules:
apiserver `registry/rest/delete.go` and `registry/generic/registry/store.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from kplane.api.clock import rfc3339
from kplane.api.resource import Object

from .metadata import FOREGROUND, ORPHAN
from .strategy import Strategy


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The request's options. `propagation` is "", Background, Foreground or Orphan."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""


class Outcome(Enum):
    REMOVE = "remove"
    MARK = "mark"
    """Store the object as `plan` changed it."""
    WAIT = "wait"
    """It is being deleted already; nothing changes."""


def plan(obj: Object, strategy: Strategy, options: DeleteOptions, now: datetime) -> Outcome:
    """Decide, and for MARK change `obj` in place into what is to be stored."""
    graceful = _plan_grace(obj, strategy, options, now)
    if graceful is Outcome.WAIT:
        return Outcome.WAIT
    finalizers_changed = _set_propagation(obj, strategy, options)
    metadata = obj["metadata"]
    blocked = bool(metadata.get("finalizers")) or bool(strategy.blockers(obj))
    if graceful is Outcome.MARK and (blocked or metadata["deletionGracePeriodSeconds"] > 0):
        return Outcome.MARK
    if not blocked:
        return Outcome.REMOVE
    if metadata.get("deletionTimestamp") and not finalizers_changed and graceful is not Outcome.MARK:
        return Outcome.WAIT
    _mark(obj, strategy, 0, now)
    return Outcome.MARK


def finished(new: Object, old: Object, strategy: Strategy) -> bool:
    """Whether an update has removed the last thing that kept a deleted object."""
    was, now = old["metadata"], new["metadata"]
    if now.get("finalizers") or strategy.blockers(new) or not was.get("deletionTimestamp"):
        return False
    return not was.get("deletionGracePeriodSeconds")


def _plan_grace(obj: Object, strategy: Strategy, options: DeleteOptions, now: datetime) -> Outcome:
    """MARK: the object now has a (new) deadline. REMOVE: grace has no say. WAIT: a deadline runs already."""
    if not strategy.graceful:
        return Outcome.REMOVE
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return _shorten_grace(metadata, options)
    seconds = strategy.grace_period(obj, options.grace_seconds)
    if seconds <= 0:
        return Outcome.REMOVE
    _mark(obj, strategy, seconds, now)
    return Outcome.MARK


def _shorten_grace(metadata: Object, options: DeleteOptions) -> Outcome:
    """A deadline that runs can be moved forward, never back."""
    running = metadata.get("deletionGracePeriodSeconds")
    if running is None:
        return Outcome.REMOVE
    if options.grace_seconds is None or options.grace_seconds >= running:
        return Outcome.WAIT
    deadline = datetime.fromisoformat(metadata["deletionTimestamp"])
    seconds = max(options.grace_seconds, 0)
    metadata["deletionTimestamp"] = rfc3339(deadline - timedelta(seconds=running - seconds))
    metadata["deletionGracePeriodSeconds"] = seconds
    return Outcome.MARK


def _mark(obj: Object, strategy: Strategy, seconds: int, now: datetime) -> None:
    metadata = obj["metadata"]
    deadline = rfc3339(now + timedelta(seconds=seconds))
    if metadata.get("deletionTimestamp") and metadata["deletionTimestamp"] <= deadline:
        metadata.setdefault("deletionGracePeriodSeconds", 0)
        return
    metadata["deletionTimestamp"] = deadline
    metadata["deletionGracePeriodSeconds"] = seconds
    # Controllers treat a deleted object differently, so its generation counts the change.
    if metadata.get("generation"):
        metadata["generation"] += 1
    strategy.mark_deleting(obj)


def _set_propagation(obj: Object, strategy: Strategy, options: DeleteOptions) -> bool:
    """Set the garbage collector's finalizers as the policy demands; whether that changed anything."""
    if not strategy.collectable:
        return False
    finalizers: list[str] = obj["metadata"].get("finalizers") or []
    orphan = ORPHAN in finalizers or strategy.orphans_by_default
    foreground = FOREGROUND in finalizers
    if options.propagation:
        orphan = options.propagation == "Orphan"
        foreground = options.propagation == "Foreground"
    wanted = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
    wanted += [ORPHAN] if orphan else [FOREGROUND] if foreground else []
    if set(wanted) == set(finalizers):
        return False
    obj["metadata"]["finalizers"] = wanted
    if not wanted:
        del obj["metadata"]["finalizers"]
    return True
