"""The scheduler: takes Pods from the queue, decides, and has the decision carried out.

Reads: Pods that have not ended, Nodes and PodDisruptionBudgets, from informer caches.
Writes: bindings, the PodScheduled condition of Pods that do not fit and the node that they are nominated to,
the end of Pods of lower priority that make room for them, Events.
Elsewhere: the decision (decision.py), the waiting (queue.py), the table (table.py), who makes room
(preemption.py).

Invariant: a Pod is counted in the table from the decision on, once, until it is gone or its binding failed.
Nothing is awaited between taking a Pod and entering the verdict, so the table that is decided on is never
older than the last change heard of.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError
from kplane.api.types import Node, Pod
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.rest import Client, PatchType

from .binding import Binder
from .budgets import PodDisruptionBudget, budget
from .decision import Refused, decide
from .eviction import Evictor
from .framework import Change, On, OnGone
from .messages import WAITING, note
from .metrics import PREEMPTION_ATTEMPTS, PREEMPTION_VICTIMS, AttemptMetrics
from .nominations import Nominations
from .pod import PodInfo, describe
from .preemption import Candidate, best
from .queue import SchedulingQueue, Waiting
from .registry import Profile, default_profile
from .status import SCHEDULER_ERROR, UNSCHEDULABLE, not_scheduled
from .table import NodeTable

log = logging.getLogger(__name__)

UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended take nothing from their node."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """What is done for a Pod that fits nowhere."""

    message: str
    candidate: Candidate | None = None
    nominated: str = ""


class Scheduler:
    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        events: EventRecorder,
        clock: Clock,
        entropy: Entropy,
        profile: Profile | None = None,
    ) -> None:
        self._client = client
        self._events = events
        self._clock = clock
        self._entropy = entropy
        self._profile = profile or default_profile()
        self._metrics = AttemptMetrics(self._profile.scheduler_name)
        self._binder = Binder(client)
        self._assumed: set[str] = set()
        self._nominations = Nominations()
        self._evictor = Evictor(client, events, clock, self._profile.scheduler_name)
        self.nodes = NodeTable()
        self.queue = SchedulingQueue(clock, _retry_events(self._profile))
        self._node_informer = informers.informer(Node)
        self._pod_informer = informers.informer(Pod, field_selector=UNFINISHED)
        self._budget_informer = informers.informer(PodDisruptionBudget)
        self._node_informer.on_change(self._node_changed)
        self._pod_informer.on_change(self._pod_changed)

    @property
    def synced(self) -> bool:
        return self._node_informer.synced and self._pod_informer.synced and self._budget_informer.synced

    async def run(self) -> None:
        """Schedule until cancelled, once both caches are filled."""
        await self._node_informer.wait_synced()
        await self._pod_informer.wait_synced()
        await self._budget_informer.wait_synced()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            while True:
                self._attempt(await self.queue.take(), group)
                # Informers and bindings get their turn, however many Pods wait.
                await self._clock.sleep(0)

    def _attempt(self, entry: Waiting, group: asyncio.TaskGroup) -> None:
        began = self._clock.monotonic()
        with self._nominations.kept_free(entry.info, self.nodes):
            verdict = decide(entry.info, self.nodes, self._profile, self._entropy)
            self._metrics.decided(self._clock.monotonic() - began)
            preemption = self._preempt(entry.info, verdict) if isinstance(verdict, Refused) else None
        if isinstance(verdict, Refused):
            assert preemption is not None
            self.queue.refuse(entry, verdict.plugins)
            self._metrics.ended("unschedulable", self._clock.monotonic() - began)
            self._refused(entry.info, preemption, group)
            return
        self._nominations.drop(entry.info.uid)
        self.nodes.place(entry.info, verdict.node)
        self._assumed.add(entry.info.uid)
        group.create_task(self._bind(entry, verdict.node, began, group))

    def _preempt(self, pod: PodInfo, verdict: Refused) -> Preemption:
        """Whom to evict for a Pod that fits nowhere, and what to say of it."""
        if pod.pod.spec.preemption_policy == "Never":
            return Preemption(verdict.message)
        nominated = self._nominations.node_of(pod.uid)
        if nominated and any(self._leaves(pod, other) for other in self.nodes.pods_on(nominated)):
            return Preemption(f"{verdict.why} preemption: {WAITING}", nominated=nominated)
        PREEMPTION_ATTEMPTS.inc()
        if not self.nodes.has_lower_priority(pod.priority):
            return Preemption(verdict.message)
        budgets = [budget(view) for view in self._budget_informer.list()]
        found = best(pod, self.nodes, verdict.curable, self._profile, budgets, self._entropy)
        if found is None:
            return Preemption(verdict.message)
        PREEMPTION_VICTIMS.observe(len(found.victims))
        return Preemption(verdict.why, found, found.node)

    def _leaves(self, pod: PodInfo, other: PodInfo) -> bool:
        """Whether a less important Pod is on its way out already."""
        current = self._pod_informer.get(other.key)
        return (
            other.priority < pod.priority
            and current is not None
            and current.metadata.deletion_timestamp is not None
        )

    def _refused(self, pod: PodInfo, preemption: Preemption, group: asyncio.TaskGroup) -> None:
        log.info("unschedulable pod=%s why=%s", pod.key, preemption.message)
        if preemption.nominated:
            for other in self._nominations.less_important(pod, preemption.nominated):
                # Its place is another's now; what it is told is its next attempt's business.
                self._nominations.drop(other.uid)
            self._nominations.put(pod, preemption.nominated)
        else:
            self._nominations.drop(pod.uid)
        self._report(pod, UNSCHEDULABLE, preemption.message, group, preemption.nominated)
        if preemption.candidate is not None:
            group.create_task(self._make_room(pod, preemption.candidate))

    async def _make_room(self, pod: PodInfo, candidate: Candidate) -> None:
        try:
            await self._evictor.make_room(pod, candidate)
        except ApiError as error:
            # Nobody may leave: the place is not kept, and the next attempt looks anew.
            log.warning("preemption failed pod=%s node=%s why=%s", pod.key, candidate.node, error)
            self._nominations.drop(pod.uid)
            self.queue.retry(pod.uid)

    async def _bind(self, entry: Waiting, node: str, began: float, group: asyncio.TaskGroup) -> None:
        pod = entry.info
        try:
            await self._binder.bind(pod, node)
        except ApiError as error:
            self._metrics.ended("error", self._clock.monotonic() - began)
            self._binding_failed(entry, node, error, group)
            return
        now = self._clock.monotonic()
        self._metrics.ended("scheduled", now - began)
        self._metrics.scheduled(entry.attempts, now - entry.first_seen)
        self.queue.remove(pod.uid)
        log.info("bound pod=%s node=%s", pod.key, node)
        message = f"Successfully assigned {pod.key.namespace}/{pod.key.name} to {node}"
        self._events.event(pod.pod, "Normal", "Scheduled", note(message))

    def _binding_failed(self, entry: Waiting, node: str, error: ApiError, group: asyncio.TaskGroup) -> None:
        """Give the node's resources back, and try again unless the Pod is gone or has a node."""
        pod = entry.info
        log.warning("binding failed pod=%s node=%s why=%s", pod.key, node, error)
        self._assumed.discard(pod.uid)
        current = self._pod_informer.get(pod.key)
        if current is not None and current.metadata.uid == pod.uid and current.spec.node_name:
            # Counted where the server says that it is.
            return
        self._release(pod.uid)
        if current is None or current.metadata.uid != pod.uid or not self._waits(current):
            self.queue.remove(pod.uid)
            return
        entry.info = describe(current)
        self.queue.fail(entry)
        self._report(entry.info, SCHEDULER_ERROR, f"binding rejected: {error}", group)

    def _report(
        self,
        pod: PodInfo,
        reason: str,
        message: str,
        group: asyncio.TaskGroup,
        nominated: str | None = None,
    ) -> None:
        self._events.event(pod.pod, "Warning", "FailedScheduling", note(message))
        group.create_task(self._write_condition(pod, reason, message, nominated))

    async def _write_condition(self, pod: PodInfo, reason: str, message: str, nominated: str | None) -> None:
        current = self._pod_informer.get(pod.key) or pod.pod
        patch = not_scheduled(current, reason, message, self._clock.now(), nominated)
        if patch is None or current.metadata.uid != pod.uid:
            return
        try:
            await self._client.patch(
                Pod, pod.key.name, pod.key.namespace, patch, kind=PatchType.STRATEGIC, subresource="status"
            )
        except ApiError as error:
            # The condition only informs; the next attempt writes it again.
            log.info("condition not written pod=%s why=%s", pod.key, error)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is not None:
            self.nodes.put_node(new)
        elif old is not None:
            self.nodes.remove_node(old.metadata.name)
        self.queue.wake(Change(Node, old, new))

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None or new.terminal:
            gone = new or old
            assert gone is not None
            self._pod_gone(gone)
        elif new.spec.node_name:
            self._pod_bound(new)
        elif new.metadata.uid in self._assumed:
            # Its binding is on its way, or has not reached this cache yet.
            return
        elif self._waits(new):
            info = describe(new)
            if old is None and new.status.nominated_node_name:
                # Nominated before this scheduler started.
                self._nominations.put(info, new.status.nominated_node_name)
            self.queue.put(info)
        else:
            self.queue.remove(new.metadata.uid)

    def _pod_gone(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        self._assumed.discard(uid)
        self._nominations.drop(uid)
        self.queue.remove(uid)
        self._release(uid)

    def _pod_bound(self, pod: Pod) -> None:
        """By us or by anyone else; what the server says counts."""
        uid = pod.metadata.uid
        self._assumed.discard(uid)
        self._nominations.drop(uid)
        self.queue.remove(uid)
        before = self.nodes.placement(uid)
        known = before.pod.pod if before is not None and before.node == pod.spec.node_name else None
        if known is not None and _takes_the_same(known, pod):
            return
        self.nodes.place(describe(pod), pod.spec.node_name)
        if before is not None and before.node != pod.spec.node_name:
            # The place that we had assumed for it is free again.
            self.queue.wake(Change(Pod, before.pod.pod, None, placed=True))
        self.queue.wake(Change(Pod, known, pod, placed=True))

    def _release(self, uid: str) -> None:
        placement = self.nodes.remove_pod(uid)
        if placement is not None:
            self.queue.wake(Change(Pod, placement.pod.pod, None, placed=True))

    def _waits(self, pod: Pod) -> bool:
        """Whether it is for us to find a node for this Pod now."""
        return (
            not pod.spec.node_name
            and not pod.terminal
            and pod.metadata.deletion_timestamp is None
            and not pod.spec.scheduling_gates
            and (pod.spec.scheduler_name or "default-scheduler") == self._profile.scheduler_name
        )


def _takes_the_same(old: Pod, new: Pod) -> bool:
    """Whether nothing changed that the table or a plug-in reads of a placed Pod."""
    # The node's name is new wherever a Pod that we had assumed is confirmed.
    return (
        old.spec.containers == new.spec.containers
        and old.spec.resources == new.spec.resources
        and old.metadata.labels == new.metadata.labels
    )


def _retry_events(profile: Profile) -> dict[str, tuple[On | OnGone, ...]]:
    return {plugin.name: plugin.retry_on for plugin in profile.filters}
