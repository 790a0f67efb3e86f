"""Which Pods to create and delete, so that every eligible node has one. Plain functions.

Elsewhere: replacing Pods of old templates (rollout.py), eligibility (placement.py).

Invariant: a node that has a Pod in any state, even one that is going, gets no other one from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from kplane.api.types import Node, Pod
from kplane.api.types.apps import DaemonSet

from ..history import POD_LABEL
from ..pods import available
from .placement import GENERATION, GENERATION_LABEL, Eligibility, Placement, node_of

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fleet:
    """A DaemonSet with everything that a decision about it looks at."""

    ds: DaemonSet
    digest: str
    """The hash of its current revision."""
    eligible: Mapping[str, Eligibility]
    """By node, for all nodes that there are."""
    pods: Mapping[str, Sequence[Pod]]
    """By node, for all nodes that have some or that there are."""
    now: datetime

    @classmethod
    def of(
        cls, ds: DaemonSet, digest: str, nodes: Sequence[Node], pods: Sequence[Pod], now: datetime
    ) -> Fleet:
        placement = Placement.of(ds)
        eligible = {node.metadata.name: placement.eligibility(node) for node in nodes}
        by_node: dict[str, list[Pod]] = {name: [] for name in sorted(eligible)}
        for pod in sorted(pods, key=_age):
            # One that has ended and been deleted will not be seen again: it blocks nothing.
            if not (pod.terminal and pod.metadata.deletion_timestamp):
                by_node.setdefault(node_of(pod), []).append(pod)
        return cls(ds, digest, eligible, by_node, now)

    @property
    def wanted(self) -> list[str]:
        """The nodes that should have a Pod."""
        return [name for name, eligibility in self.eligible.items() if eligibility.start]

    def updated(self, pod: Pod) -> bool:
        """Whether the Pod was made from the current template."""
        labels, generation = pod.metadata.labels, self.ds.metadata.annotations.get(GENERATION)
        by_generation = generation is not None and labels.get(GENERATION_LABEL) == generation
        return labels.get(POD_LABEL) == self.digest or by_generation

    def available(self, pod: Pod) -> bool:
        return available(pod, self.ds.spec.min_ready_seconds, self.now)


def _age(pod: Pod) -> tuple[bool, datetime, str]:
    """Bound Pods first, the oldest of them first."""
    return not pod.spec.node_name, pod.metadata.creation_timestamp or _LONG_AGO, pod.metadata.name


@dataclass
class Plan:
    create: list[str] = field(default_factory=list)
    """Nodes that get a Pod."""
    delete: list[Pod] = field(default_factory=list)
    failed: list[Pod] = field(default_factory=list)
    """To be deleted when their back-off is over."""
    succeeded: list[Pod] = field(default_factory=list)
    """To be deleted: a daemon is not supposed to end."""


def plan(fleet: Fleet, *, surging: bool) -> Plan:
    """The step towards one Pod per eligible node; with `surging`, a node may have an old and a new one."""
    step = Plan()
    for node, pods in fleet.pods.items():
        eligibility = fleet.eligible.get(node)
        if eligibility is None:
            # Bound Pods of nodes that are gone are pod garbage collection's; others would wait for ever.
            step.delete += [pod for pod in pods if node and not pod.spec.node_name and _staying(pod)]
        elif eligibility.start and not pods:
            step.create.append(node)
        elif eligibility.stay:
            _tidy(fleet, pods, step, surging=surging)
        else:
            step.delete += filter(_staying, pods)
    return step


def _staying(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None


def _tidy(fleet: Fleet, pods: Sequence[Pod], step: Plan, *, surging: bool) -> None:
    """Pods that have ended go, and of several only the oldest stays."""
    staying = [pod for pod in pods if _staying(pod)]
    step.failed += [pod for pod in staying if pod.status.phase == "Failed"]
    step.succeeded += [pod for pod in staying if pod.status.phase == "Succeeded"]
    running = [pod for pod in staying if not pod.terminal]
    if not surging:
        step.delete += running[1:]
        return
    new = [pod for pod in running if pod.metadata.labels.get(POD_LABEL) == fleet.digest]
    old = [pod for pod in running if pod.metadata.labels.get(POD_LABEL) != fleet.digest]
    step.delete += new[1:] + old[1:]
    if new and old and (not old[0].ready or fleet.available(new[0])):
        step.delete.append(old[0])
