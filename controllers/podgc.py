"""Pod garbage collection: Pods that nobody else will ever delete.

Reads: Pods and Nodes, from informer caches. Writes: phase and conditions of Pods, then deletes them.
Elsewhere: eviction from tainted nodes (nodelifecycle/), children of deleted owners (garbagecollector/).

Invariant: a Pod is taken for orphaned only when its node has been missing for the quarantine and the API
server itself says that there is none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import Counter

from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .batches import attempt_all
from .config import Config
from .ending import Cause, disrupted_status, end
from .nodes import OUT_OF_SERVICE, has_taint, is_ready

log = logging.getLogger(__name__)

PASS = Key("", "")
"""The one key of the queue: a pass over all Pods."""

CHECK_SECONDS = 20.0
QUARANTINE_SECONDS = 40.0

ORPHANED = Cause("DeletionByPodGC", "PodGC: node no longer exists")

DELETED = Counter(
    "pod_gc_collector_force_delete_pods_total",
    "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
    ["namespace", "reason"],
)
ERRORS = Counter(
    "pod_gc_collector_force_delete_pod_errors_total",
    "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
    ["namespace", "reason"],
)


@dataclass(frozen=True)
class Doomed:
    """A Pod that is to go, and why; `reason` as metrics name it."""

    pod: Pod
    reason: str
    cause: Cause | None = None


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def surplus_terminated(pods: Iterable[Pod], threshold: int) -> Sequence[Pod]:
    """Finished Pods beyond the threshold, evicted ones first, then the oldest. A threshold of 0 keeps all."""
    finished = [pod for pod in pods if pod.terminal]
    if threshold <= 0 or len(finished) <= threshold:
        return ()
    return sorted(finished, key=_by_eviction_and_age)[: len(finished) - threshold]


def _by_eviction_and_age(pod: Pod) -> tuple[bool, datetime, str]:
    evicted = pod.status.phase == "Failed" and pod.status.reason == "Evicted"
    return not evicted, pod.metadata.creation_timestamp or _LONG_AGO, pod.metadata.name


def never_scheduled(pods: Iterable[Pod]) -> list[Pod]:
    """Pods that are being deleted and have no kubelet that could finish that."""
    return [pod for pod in pods if pod.metadata.deletion_timestamp and not pod.spec.node_name]


def out_of_service(pods: Iterable[Pod], nodes: Iterable[Node]) -> list[Pod]:
    """Pods that are being deleted on nodes which an administrator has declared dead."""
    dead = {node.metadata.name for node in nodes if not is_ready(node) and has_taint(node, OUT_OF_SERVICE)}
    return [pod for pod in pods if pod.metadata.deletion_timestamp and pod.spec.node_name in dead]


class Quarantine:
    """Since when nodes that Pods name have been missing."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def missing(self, named: set[str], existing: set[str], now: float) -> list[str]:
        """The nodes that have been missing for long enough."""
        gone = named - existing
        self._since = {name: self._since.get(name, now) for name in gone}
        return sorted(name for name, since in self._since.items() if now - since >= QUARANTINE_SECONDS)


class PodGCController:
    name = "pod-garbage-collector-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._pods = ctx.informer(Pod)
        self._nodes = ctx.informer(Node)
        self._threshold = (ctx.options or Config()).terminated_pod_gc_threshold
        self._quarantine = Quarantine()
        ctx.queue.add(PASS)

    async def reconcile(self, key: Key) -> Requeue:
        """One pass. What fails is tried again in the next one: backing off further would help nobody."""
        pods, nodes = self._pods.list(), self._nodes.list()
        try:
            orphans = await self._orphaned(pods, nodes)
        except ApiError as error:
            log.warning("cannot tell which nodes are gone why=%s", error)
            orphans = []
        # A Pod may be due for two reasons; being orphaned is the one that its condition must tell.
        doomed = {
            each.pod.key: each
            for each in (
                *_others(pods, nodes, self._threshold),
                *(Doomed(pod, "orphaned", ORPHANED) for pod in orphans),
            )
        }
        for failure in await attempt_all([self._end(each) for each in doomed.values()]):
            log.warning("pod not collected why=%s", failure)
        return Requeue(CHECK_SECONDS)

    async def _orphaned(self, pods: Sequence[Pod], nodes: Sequence[Node]) -> list[Pod]:
        named = {pod.spec.node_name for pod in pods if pod.spec.node_name}
        existing = {node.metadata.name for node in nodes}
        suspects = self._quarantine.missing(named, existing, self._clock.monotonic())
        gone = {name for name in suspects if await self._is_gone(name)}
        return [pod for pod in pods if pod.spec.node_name in gone]

    async def _is_gone(self, node: str) -> bool:
        """What the API server says: the cache may lag."""
        try:
            await self._client.get(Node, node)
        except NotFound:
            return True
        return False

    async def _end(self, doomed: Doomed) -> None:
        pod, labels = doomed.pod, (doomed.pod.metadata.namespace, doomed.reason)
        log.info("collecting pod key=%s why=%s", pod.key, doomed.reason)
        # Failed first: nobody else would ever end the phase of a Pod without a kubelet. One that has ended by
        # itself was not disrupted.
        status: Object = {}
        if not pod.terminal:
            status = disrupted_status(pod, doomed.cause, self._clock.now(), fail=True)
        DELETED.labels(*labels).inc()
        try:
            await end(self._client, pod, status, grace_seconds=0)
        except ApiError:
            ERRORS.labels(*labels).inc()
            raise


def _others(pods: Sequence[Pod], nodes: Sequence[Node], threshold: int) -> list[Doomed]:
    return [
        *(Doomed(pod, "terminated") for pod in surplus_terminated(pods, threshold)),
        *(Doomed(pod, "out-of-service") for pod in out_of_service(pods, nodes)),
        *(Doomed(pod, "unscheduled") for pod in never_scheduled(pods)),
    ]
