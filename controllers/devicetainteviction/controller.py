"""Device taint eviction controller: Pods that use tainted devices go, and rules tell how many.

A device is tainted by its driver, in a ResourceSlice, or by a person, in a DeviceTaintRule. Keys without a
namespace are rules, all others Pods.

Reads: Pods, ResourceClaims, ResourceSlices and DeviceTaintRules, from informer caches; a Pod that is to go,
live.
Writes: the condition DisruptionTarget of Pods, then deletes them; the status of DeviceTaintRules.
Elsewhere: keeping new Pods off tainted devices (the scheduler).

Invariant: the time at which a Pod must go follows from when its devices were tainted, not from when this
process saw it: a new process evicts no later and no earlier.

Source: pkg/controller/devicetainteviction
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from kplane.api.errors import Conflict, NotFound
from kplane.api.resource import Key
from kplane.api.types import Pod
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

from ..config import Config
from ..ending import Cause, disrupted_status, end
from ..resourceclaim.views import ResourceClaim
from . import metrics, status
from .plan import (
    NO_EXECUTE,
    Eviction,
    World,
    devices_of,
    evicting,
    newest,
    pod_eviction,
    pool_of,
    pools_of,
    selects,
)
from .views import DeviceTaintRule, ResourceSlice

log = logging.getLogger(__name__)

CAUSE = Cause("DeletionByDeviceTaintManager", "Device Taint manager: deleting due to NoExecute taint")
EVENT = "DeviceTaintManagerEviction"
POOL = "pool of devices"
RULES_GATE = "DRADeviceTaintRules"


class DeviceTaintEvictionController:
    name = "device-taint-eviction-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._events, self._queue = ctx.client, ctx.clock, ctx.events, ctx.queue
        self._pods = ctx.informer(Pod)
        self._claims = ctx.informer(ResourceClaim)
        self._slices = ctx.informer(ResourceSlice)
        # Where the gate is off the API server may not even know such rules.
        gates = (ctx.options or Config()).feature_gates
        self._rules = ctx.informer(DeviceTaintRule) if gates.get(RULES_GATE, True) else None
        self._planned: dict[Key, Eviction] = {}
        """Pods that have to go, and did not yet."""
        self._evicted: Counter[str] = Counter()
        """Uid of a rule -> how many Pods went because of it."""
        self._claims.add_index(POOL, pools_of)
        self._slices.add_index(POOL, lambda entry: [pool_of(entry.spec.driver, entry.spec.pool.name)])
        self._world = World(
            lambda namespace, name: self._claims.get(Key(namespace, name)),
            lambda pool: self._slices.by_index(POOL, pool),
        )
        self._pods.on_change(self._pod_changed)
        self._claims.on_change(self._claim_changed)
        self._slices.on_change(self._slice_changed)
        if self._rules is not None:
            self._rules.on_change(self._rule_changed)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._planned.pop(old.key, None)
        elif new.spec.resource_claims and (old is None or _shown(old) != _shown(new)):
            self._queue.add(new.key)

    def _claim_changed(self, old: ResourceClaim | None, new: ResourceClaim | None) -> None:
        if any(claim is not None and claim.status.allocation is not None for claim in (old, new)):
            self._wake_users(claim for claim in (old, new) if claim is not None)

    def _slice_changed(self, old: ResourceSlice | None, new: ResourceSlice | None) -> None:
        entries = [entry for entry in (old, new) if entry is not None]
        if len(entries) == 2 and _tainting(entries[0]) == _tainting(entries[1]):
            return
        for pool in {pool_of(entry.spec.driver, entry.spec.pool.name) for entry in entries}:
            # Another generation makes what other slices of the pool say count, or count no more.
            if any(evicting(entry) for entry in [*self._slices.by_index(POOL, pool), *entries]):
                self._wake_users(self._claims.by_index(POOL, pool))

    def _rule_changed(self, old: DeviceTaintRule | None, new: DeviceTaintRule | None) -> None:
        if old is not None and new is not None and old.spec == new.spec:
            return
        if new is not None:
            self._queue.add(new.key)
        elif old is not None:
            self._evicted.pop(old.metadata.uid, None)
        rules = [rule for rule in (old, new) if rule is not None and rule.spec.taint.effect == NO_EXECUTE]
        if rules:
            self._wake_users(claim for claim in self._claims.list() if _concerns(rules, claim))

    def _wake_users(self, claims: Iterable[ResourceClaim]) -> None:
        for claim in claims:
            for consumer in claim.status.reserved_for:
                if (consumer.api_group, consumer.resource) == ("", "pods"):
                    self._queue.add(Key(claim.metadata.namespace, consumer.name))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step with a Pod, or a rule. Safe to repeat at any time."""
        if not key.namespace:
            return await self._tell(key)
        pod = self._pods.get(key)
        eviction = self._eviction(pod) if pod is not None else None
        if pod is None or eviction is None:
            self._cancel(key, pod)
            return None
        if self._planned.get(key) != eviction:
            self._planned[key] = eviction
            self._tell_later(eviction)
        left = (eviction.when - self._clock.now()).total_seconds()
        if left > 0:
            return Requeue(left)
        await self._evict(pod, eviction)
        self._planned.pop(key, None)
        return None

    def _eviction(self, pod: Pod) -> Eviction | None:
        known = self._rules.list() if self._rules is not None else ()
        rules = [rule for rule in known if rule.spec.taint.effect == NO_EXECUTE]
        return pod_eviction(pod, rules, self._world)

    def _cancel(self, key: Key, pod: Pod | None) -> None:
        """The Pod may stay after all, and people hear of it; or it is gone."""
        if self._planned.pop(key, None) is not None and pod is not None:
            self._events.event(pod, "Normal", EVENT, "Cancelling deletion")

    async def _evict(self, pod: Pod, eviction: Eviction) -> None:
        """Delete this very Pod, unless it is gone, or going, already."""
        try:
            live = await self._client.get(Pod, pod.metadata.name, pod.metadata.namespace)
        except NotFound:
            return
        if live.metadata.uid != pod.metadata.uid or live.metadata.deletion_timestamp is not None:
            return
        log.info("evicting pod key=%s rules=%s", pod.key, sorted(name for _, name in eviction.rules))
        self._events.event(pod, "Normal", EVENT, "Marking for deletion")
        await end(self._client, live, disrupted_status(live, CAUSE, self._clock.now(), fail=False))
        metrics.evicted_pods.inc()
        metrics.eviction_seconds.observe((self._clock.now() - eviction.when).total_seconds())
        self._evicted.update(uid for uid, name in eviction.rules if self._exists(uid, name))
        self._tell_later(eviction)

    def _exists(self, uid: str, name: str) -> bool:
        rule = self._rule(Key("", name))
        return rule is not None and rule.metadata.uid == uid

    def _rule(self, key: Key) -> DeviceTaintRule | None:
        return self._rules.get(key) if self._rules is not None else None

    def _tell_later(self, eviction: Eviction) -> None:
        """Not at once: more Pods may follow, and the caches lag behind."""
        for _, name in eviction.rules:
            self._queue.add_after(Key("", name), status.PERIOD)

    async def _tell(self, key: Key) -> Requeue | None:
        """Bring the status of a rule up to date, not too often."""
        rule = self._rule(key)
        if rule is None:
            return None
        now = self._clock.now()
        if early := status.wait(rule, now):
            return Requeue(early)
        verdict = status.verdict(rule, self._counts(rule))
        if not status.changed(rule, verdict):
            return None
        try:
            await self._client.patch(
                DeviceTaintRule, key.name, "", status.body(rule, verdict, now),
                kind=PatchType.APPLY, subresource="status", field_manager=self.name, force=True,
            )  # fmt: skip
        except (NotFound, Conflict):
            return None  # Gone, or another one under its name, which its own event wakes.
        log.info("told of rule key=%s reason=%s", key, verdict.reason)
        return None

    def _counts(self, rule: DeviceTaintRule) -> status.Counts:
        """Pods and devices are counted only where the effect asks for it: that looks at all there are."""
        evicted = self._evicted[rule.metadata.uid]
        effect = rule.spec.taint.effect
        if effect not in (NO_EXECUTE, "None"):
            return status.Counts(evicted=evicted)
        pods = [
            pod
            for pod in self._pods.list()
            if pod.spec.resource_claims
            and pod.metadata.deletion_timestamp is None
            and (found := pod_eviction(pod, [rule], self._world)) is not None
            and found.rules
        ]
        namespaces = len({pod.metadata.namespace for pod in pods})
        if effect == NO_EXECUTE:
            return status.Counts(len(pods), namespaces, evicted)
        return status.Counts(len(pods), namespaces, evicted, self._published(rule), self._allocated(rule))

    def _published(self, rule: DeviceTaintRule) -> int:
        pools: dict[str, list[ResourceSlice]] = {}
        for entry in self._slices.list():
            pools.setdefault(pool_of(entry.spec.driver, entry.spec.pool.name), []).append(entry)
        return sum(
            selects(rule, entry.spec.driver, entry.spec.pool.name, device.name)
            for pool in pools.values()
            for entry in newest(pool)
            for device in entry.spec.devices
        )

    def _allocated(self, rule: DeviceTaintRule) -> int:
        return sum(
            selects(rule, device.driver, device.pool, device.device)
            for claim in self._claims.list()
            for device in devices_of(claim)
        )


def _concerns(rules: Sequence[DeviceTaintRule], claim: ResourceClaim) -> bool:
    return any(
        selects(rule, device.driver, device.pool, device.device)
        for rule in rules
        for device in devices_of(claim)
    )


def _tainting(entry: ResourceSlice) -> tuple[object, ...]:
    """What decides about the users of a slice's devices."""
    return entry.spec.driver, entry.spec.pool, evicting(entry)


def _shown(pod: Pod) -> tuple[object, ...]:
    """What decides about a Pod: updates of Pods are many, and nearly all are about something else."""
    return pod.metadata.uid, pod.spec.node_name, pod.status.resource_claim_statuses
