"""Node lifecycle controller: silent nodes become Unknown, are tainted, and their Pods are not Ready.

Reads: Nodes, their Leases and Pods, from informer caches; the Leases once more before a node is given up.
Writes: conditions and taints of Nodes, the older os and arch labels, the Ready condition of Pods.
Elsewhere: deleting the Pods (tainteviction.py), Pods of nodes that are gone (../podgc.py).

Invariant: a node's silence counts only while the API server answers this process. After an outage, on either
side, every node gets its full grace period again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key
from kplane.api.types import Lease, Node, Pod
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

from ..batches import attempt_all
from ..config import Config
from ..ending import patch_status, pod_condition
from ..nodes import NO_EXECUTE, index_by_node, is_ready, pods_on, ready_condition, zone_of
from . import metrics, taints
from .health import Heartbeats, unknown_conditions
from .zones import Rates, Shift, Zones

log = logging.getLogger(__name__)

MONITOR = Key("", "")
"""The key under which all nodes are looked at; every other key is a node."""

LEASES = "kube-node-lease"
EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""Label of nodes that do not count for the state of their zone."""

LATE = 0.4
"""Part of the grace period after which a silent node is asked about at the API server itself."""

MISSED_LOOKS = 3
"""Periods without a look at the nodes after which this process must have stood still."""

SHORTEST_TURN = 0.1
"""Least seconds between two looks at the queues of nodes that wait for their taint."""


@dataclass(frozen=True)
class _Verdict:
    """A node, and its readiness before and after this look; None where it has no Ready condition."""

    node: Node
    before: str | None
    after: str | None

    @property
    def settled(self) -> bool:
        """Whether the node was well, still is, and looks like it: as nearly all nodes are at all times."""
        return self.before == self.after == "True" and not taints.reachable(self.node)


class NodeLifecycleController:
    name = "node-lifecycle-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._options = options
        self._client, self._clock, self._events, self._queue = ctx.client, ctx.clock, ctx.events, ctx.queue
        self._nodes = ctx.informer(Node)
        self._leases = ctx.informer(Lease, namespace=LEASES)
        self._pods = ctx.informer(Pod)
        index_by_node(self._pods)
        self._heartbeats = Heartbeats()
        self._zones = Zones(
            Rates(
                options.node_eviction_rate,
                options.secondary_node_eviction_rate,
                options.unhealthy_zone_threshold,
                options.large_cluster_size_threshold,
            )
        )
        self._known: dict[str, Node] = {}
        self._looked: float | None = None
        self._out_of_touch = False
        self._nodes.on_change(ctx.queue.wake)
        ctx.queue.add(MONITOR)

    async def reconcile(self, key: Key) -> Requeue | None:
        if key != MONITOR:
            await self._reconcile_node(key)
            return None
        now = self._clock.monotonic()
        period = self._options.node_monitor_period
        if self._looked is None or now - self._looked >= period:
            await self._look(now)
            metrics.all_nodes_seconds.observe(self._clock.monotonic() - now)
            self._looked = now
        await self._give_up()
        now = self._clock.monotonic()
        left, turn = self._looked + period - now, self._zones.next_turn(now)
        return Requeue(max(left if turn is None else min(left, turn), SHORTEST_TURN))

    async def _reconcile_node(self, key: Key) -> None:
        """What a node's own state asks for, whatever its zone."""
        node = self._nodes.get(key)
        if node is None:
            self._zones.remove(key.name)
            return
        if is_ready(node):
            self._zones.remove(key.name)
        if taints.scheduling(node):
            log.info("tainting node=%s for its conditions", key.name)
            await taints.apply(self._client, self._clock, key.name, taints.scheduling)
        if labels := taints.missing_labels(node):
            await self._client.patch(Node, key.name, "", {"metadata": {"labels": labels}})

    async def _look(self, now: float) -> None:
        """Judge every node. No failure ends it: the next look comes in time, and begins from what is true."""
        if self._looked is not None and now - self._looked > MISSED_LOOKS * self._options.node_monitor_period:
            self._heartbeats.forgive(now)
        nodes = self._nodes.list()
        self._tell_changes(nodes)
        self._observe(nodes, self._leases.list(), now)
        if not await self._in_touch(nodes, now):
            return
        verdicts = [verdict for node in nodes if (verdict := await self._timed(node, now))]
        await self._update_zones(verdicts, now)
        unsettled = [verdict for verdict in verdicts if not verdict.settled]
        for error in await attempt_all([self._act(verdict) for verdict in unsettled]):
            log.warning("node not brought in line why=%s", error)

    def _tell_changes(self, nodes: Sequence[Node]) -> None:
        current = {node.metadata.uid: node for node in nodes}
        for node in nodes:
            if node.metadata.uid not in self._known:
                self._tell(node, "RegisteredNode", "Registered Node {} in Controller")
        for uid, node in self._known.items():
            if uid not in current:
                self._tell(node, "RemovingNode", "Removing Node {} from Controller")
        self._known = current
        self._heartbeats.keep(nodes)

    def _tell(self, node: Node, reason: str, what: str) -> None:
        name = node.metadata.name
        self._events.event(node, "Normal", reason, f"Node {name} event: {what.format(name)}")

    def _observe(self, nodes: Sequence[Node], leases: Sequence[Lease], now: float) -> None:
        by_name = {lease.metadata.name: lease for lease in leases}
        for node in nodes:
            self._heartbeats.observe(node, by_name.get(node.metadata.name), now, self._clock.now())

    async def _in_touch(self, nodes: Sequence[Node], now: float) -> bool:
        """Whether silence can be believed: if some node is late, the API server must say so itself."""
        limit = LATE * self._options.node_monitor_grace_period
        if not any(self._heartbeats.silence(node, now) > limit and _known_well(node) for node in nodes):
            self._out_of_touch = False
            return True
        try:
            leases = await self._client.list(Lease, LEASES)
        except ApiError as error:
            log.warning("nodes are not judged while the API server does not answer why=%s", error)
            self._out_of_touch = True
            return False
        self._observe(nodes, leases.items, now)
        if self._out_of_touch:
            self._out_of_touch = False
            self._heartbeats.forgive(now)
        return True

    async def _timed(self, node: Node, now: float) -> _Verdict | None:
        began = self._clock.monotonic()
        verdict = await self._judge(node, now)
        metrics.node_seconds.observe(self._clock.monotonic() - began)
        return verdict

    async def _judge(self, node: Node, now: float) -> _Verdict | None:
        """Mark the node Unknown if its time is over; None if that fails."""
        ready = ready_condition(node)
        before = ready.status if ready else None
        options = self._options
        grace = options.node_monitor_grace_period if ready else options.node_startup_grace_period
        silence = self._heartbeats.silence(node, now)
        conditions = unknown_conditions(node, self._clock.now()) if silence > grace else []
        if not conditions:
            return _Verdict(node, before, before)
        log.info("node is silent node=%s seconds=%.0f", node.metadata.name, silence)
        guard = {"uid": node.metadata.uid, "resourceVersion": node.metadata.resource_version}
        patch = {"metadata": guard, "status": {"conditions": conditions}}
        try:
            await self._client.patch(
                Node, node.metadata.name, "", patch, kind=PatchType.STRATEGIC, subresource="status"
            )
        except (Conflict, NotFound):
            # The cache is behind: perhaps the node has just come back.
            return None
        except ApiError as error:
            log.warning("node not marked node=%s why=%s", node.metadata.name, error)
            return None
        return _Verdict(node, before, "Unknown")

    async def _update_zones(self, verdicts: Sequence[_Verdict], now: float) -> None:
        readiness: dict[str, list[bool]] = {}
        for verdict in verdicts:
            if EXCLUDED not in verdict.node.metadata.labels:
                readiness.setdefault(zone_of(verdict.node), []).append(verdict.after == "True")
        metrics.observe_zones(readiness)
        shift = self._zones.update(readiness, now)
        if shift is Shift.NONE:
            return
        log.warning("zones changed: %s", shift.value)
        if shift is Shift.RECOVERED:
            self._heartbeats.forgive(now)
            return
        # All are silent: rather we are cut off than they are dead. Nobody's Pods are moved.
        tainted = [verdict.node for verdict in verdicts if taints.reachable(verdict.node)]
        for error in await attempt_all([self._reach(node) for node in tainted]):
            log.warning("taint not removed why=%s", error)

    async def _act(self, verdict: _Verdict) -> None:
        """Bring NoExecute taints and Pods in line with what the node was when the look began."""
        node, name = verdict.node, verdict.node.metadata.name
        if verdict.before == "True":
            await self._reach(node)
        elif verdict.after is not None and (change := taints.executing(node)):
            if change.remove:
                await taints.apply(self._client, self._clock, name, taints.executing)
            else:
                self._zones.add(zone_of(node), name)
        if verdict.after != "True" and verdict.before == "True":
            self._events.event(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        if verdict.after == "Unknown":
            await self._mark_pods(name)

    async def _reach(self, node: Node) -> None:
        self._zones.remove(node.metadata.name)
        if taints.reachable(node):
            log.info("node is reachable again node=%s", node.metadata.name)
            await taints.apply(self._client, self._clock, node.metadata.name, taints.reachable)

    async def _mark_pods(self, node: str) -> None:
        """Nobody knows whether Pods of a silent node still answer: Services must not count on them."""
        ready = [pod for pod in pods_on(self._pods, node) if pod.ready]
        errors = await attempt_all([self._mark_pod(pod) for pod in ready])
        if errors:
            raise errors[0]

    async def _mark_pod(self, pod: Pod) -> None:
        condition = pod_condition(pod, "Ready", "False", self._clock.now())
        try:
            await patch_status(self._client, pod, {"conditions": [condition]})
        except NotFound:
            return
        self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _give_up(self) -> None:
        """Taint the nodes whose turn it is; what fails waits for another turn."""
        for zone, name in list(self._zones.take(self._clock.monotonic())):
            node = self._nodes.get(Key("", name))
            if node is None or is_ready(node):
                continue
            log.info("giving up node=%s zone=%s", name, zone.replace("\x00", ""))
            try:
                await taints.apply(self._client, self._clock, name, taints.executing)
            except ApiError as error:
                log.warning("node not tainted node=%s effect=%s why=%s", name, NO_EXECUTE, error)
                self._zones.add(zone, name)
            else:
                metrics.gave_up(zone)


def _known_well(node: Node) -> bool:
    """Whether marking the node would still change something."""
    ready = ready_condition(node)
    return ready is None or ready.status != "Unknown"
