"""Counting Pods that have ended: which are counted now, and which lose their finalizer. Pure.

Rules: upstream's `trackJobStatusAndRemoveFinalizers` (KEP-2307). Elsewhere: the order of the writes, on which
exactness rests (controller.py), and what is counted (state.py).
"""

from __future__ import annotations

from kplane.api.types import Pod

from . import indexes, policy
from .assessment import SUCCESS, Assessment
from .pods import counts_for, has_failed, index_of, indexed, tracked

MAX_UNCOUNTED = 500
"""So many Pods are counted in one step: it keeps the status small, and lets other Jobs have their turn."""


def count(found: Assessment) -> tuple[list[Pod], bool]:
    """Enter Pods that have ended into the state; returns those that then lose their finalizer, and whether
    that are all."""
    state = found.state
    new: set[int] = set()
    done: list[Pod] = []
    complete = True
    for pod in _in_order(found):
        if not tracked(pod) or not _may_go(found, pod):
            continue
        done.append(pod)
        _enter(found, pod, new)
        if len(new) + len(state.uncounted_succeeded) + len(state.uncounted_failed) >= MAX_UNCOUNTED:
            complete = False
            break
    if indexed(found.job):
        succeeded = found.counted_indexes | new
        state.succeeded = len(succeeded)
        state.completed_indexes = indexes.text(succeeded)
        if found.failed_indexes is not None:
            state.failed_indexes = indexes.text(found.failed_indexes)
    return done, complete


def _in_order(found: Assessment) -> list[Pod]:
    """By index, so that those of completed indexes come in order."""
    if not indexed(found.job):
        return list(found.pods)
    last = found.job.spec.completions or 0
    ranks = [(index_of(pod, found.job), pod) for pod in found.pods]
    return [pod for _, pod in sorted(ranks, key=lambda pair: last if pair[0] is None else pair[0])]


def _may_go(found: Assessment, pod: Pod) -> bool:
    if found.job.metadata.deletion_timestamp or found.ending or pod.status.phase == "Succeeded":
        return True
    if not has_failed(pod, found.job):
        return False
    index = index_of(pod, found.job)
    # Its successor, which is not created yet, takes the failure count from it.
    return index is None or found.delayed.get(index) is not pod


def _enter(found: Assessment, pod: Pod, new: set[int]) -> None:
    """Count one Pod as succeeded, as failed, or not at all."""
    job, state, uid = found.job, found.state, pod.metadata.uid
    if not counts_for(pod, job) or uid in state.uncounted_failed or uid in state.uncounted_succeeded:
        return
    if pod.status.phase == "Succeeded":
        if indexed(job):
            index = index_of(pod, job)
            if index is not None and index not in found.counted_indexes:
                new.add(index)
        else:
            state.uncounted_succeeded.append(uid)
    elif _counts_as_failed(found, pod):
        state.uncounted_failed.append(uid)


def _counts_as_failed(found: Assessment, pod: Pod) -> bool:
    """When a Job has failed, so has every Pod that it stops."""
    stopped = found.ending is not None and found.ending.type != SUCCESS
    if not has_failed(pod, found.job) and not stopped:
        return False
    return policy.judge(found.job, pod).counts
