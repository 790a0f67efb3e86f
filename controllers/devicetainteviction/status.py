"""What a DeviceTaintRule says about the Pods that it makes go: the condition EvictionInProgress. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kplane.api.clock import rfc3339
from kplane.api.resource import Object
from kplane.api.types import Condition
from kplane.api.types.meta import condition

from .plan import NO_EXECUTE
from .views import DeviceTaintRule

KIND = "EvictionInProgress"
PERIOD = 10.0
"""Least seconds between two updates."""
AGAIN = (
    "if the effect was NoExecute. This information will not be updated again. "
    "Recreate the DeviceTaintRule to trigger an update."
)


@dataclass(frozen=True)
class Counts:
    """What a rule is about. Devices are counted only where nothing is done to them."""

    pods: int = 0
    """Pods that have to go, or would have."""
    namespaces: int = 0
    evicted: int = 0
    published: int = 0
    allocated: int = 0


@dataclass(frozen=True)
class Verdict:
    status: str
    reason: str
    message: str


def wait(rule: DeviceTaintRule, now: datetime) -> float:
    """Seconds until the condition may be written again; 0 for at once."""
    old = condition(rule.status.conditions, KIND)
    if old is None or old.last_transition_time is None:
        return 0.0
    if old.observed_generation != rule.metadata.generation:
        return 0.0
    return max(PERIOD - (now - old.last_transition_time).total_seconds(), 0.0)


def verdict(rule: DeviceTaintRule, counts: Counts) -> Verdict:
    effect = rule.spec.taint.effect
    if effect == NO_EXECUTE:
        found = _executing(counts)
    elif effect == "None":
        found = Verdict("False", "NoEffect", _simulated(counts))
    else:
        found = Verdict("False", "OtherEffect", "Eviction only happens for the NoExecute effect.")
    if not counts.evicted:
        return found
    told = f"{_pods(counts.evicted)} evicted since starting the controller."
    return Verdict(found.status, found.reason, f"{found.message} {told}".lstrip())


def _executing(counts: Counts) -> Verdict:
    if counts.pods:
        verb = "needs" if counts.pods == 1 else "need"
        message = f"{_pods(counts.pods)} {verb} to be evicted in {_namespaces(counts.namespaces)}."
        return Verdict("True", "PodsPendingEviction", message)
    return Verdict("False", "Completed" if counts.evicted else "NotStarted", "")


def _simulated(counts: Counts) -> str:
    return (
        f"{_devices(counts.published, 'published')} {_devices(counts.allocated, 'allocated')} "
        f"{_pods(counts.pods)} would be evicted in {_namespaces(counts.namespaces)} {AGAIN}"
    )


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _namespaces(count: int) -> str:
    return "1 namespace" if count == 1 else f"{count} different namespaces"


def _devices(count: int, kind: str) -> str:
    return f"1 {kind} device selected." if count == 1 else f"{count} {kind} devices selected."


def changed(rule: DeviceTaintRule, new: Verdict) -> bool:
    old = condition(rule.status.conditions, KIND)
    if old is None:
        return True
    return old.observed_generation != rule.metadata.generation or new != _said(old)


def _said(old: Condition) -> Verdict:
    return Verdict(old.status, old.reason, old.message)


def body(rule: DeviceTaintRule, new: Verdict, now: datetime) -> Object:
    """For server-side apply. Any change moves the time: it tells how old the numbers are."""
    entry = {
        "type": KIND,
        "status": new.status,
        "reason": new.reason,
        "message": new.message,
        "observedGeneration": rule.metadata.generation,
        "lastTransitionTime": rfc3339(now),
    }
    return {
        "apiVersion": DeviceTaintRule.API.api_version,
        "kind": DeviceTaintRule.API.kind,
        "metadata": {"name": rule.metadata.name, "uid": rule.metadata.uid},
        "status": {"conditions": [entry]},
    }
